/* SPDX-License-Identifier: MIT */
/*
 * All interfaces together: which are counted now, and what they counted. A thread of its own
 * attaches and detaches as links come, change and go; monitor_read may be called from any one
 * other thread at a time.
 */
#ifndef PB_MONITOR_H
#define PB_MONITOR_H

#include <pthread.h>

#include "config.h"
#include "new_ports.h"
#include "tc_portbytes.h"

struct monitor;

/* As collectd's plugin_thread_create: 0 or an error number, which is positive. */
typedef int monitor_spawn_fn(pthread_t *thread, void *(*routine)(void *), void *argument,
                             const char *name);

/*
 * Attaches to the wanted interfaces that are up, for at most two seconds, and starts the thread,
 * which attaches to the others. settings must outlive *out. Negative errno after one line of the
 * log; nothing is attached then but what an earlier daemon left pinned. An interface that is wanted
 * but absent is no error.
 */
int monitor_start(struct monitor **out, const struct settings *settings, monitor_spawn_fn *spawn);

/* Detaches everything, or leaves what is pinned. NULL is allowed. */
void monitor_stop(struct monitor *monitor);

/* One value list: totals since the daemon began, in bytes and packets. */
typedef void monitor_report_fn(void *context, const char *interface, const char *instance,
                               const struct pb_counters *total);

/* What the last read found, with notify_new_ports; else nothing. In the thread that reads. */
void monitor_new_ports(const struct monitor *monitor, struct new_ports *out);

/* Reads every interface and reports every series. interval: nanoseconds between reads. */
void monitor_read(struct monitor *monitor, __u64 interval, monitor_report_fn *report,
                  void *context);

#endif
