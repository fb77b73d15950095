/* SPDX-License-Identifier: MIT */
#include "monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attach.h"
#include "clock.h"
#include "interfaces.h"
#include "log.h"
#include "netlink.h"
#include "pins.h"
#include "reconcile.h"

/* init attaches for at most so long; the thread does the rest. */
#define START_TIME (2 * SECOND)

struct monitor {
    const struct settings *settings;
    struct netlink *netlink;
    struct pins *pins; /* NULL: nothing outlives the daemon */
    pthread_mutex_t lock;
    struct interfaces interfaces;
    struct attacher attacher;
    bool incomplete; /* not all were attached at the start, nor since */
    pthread_t thread;
    bool running;
    int wake; /* eventfd: tells the thread to exit */
};

static unsigned count_attached(const struct monitor *monitor) {
    unsigned number = 0;

    for (const struct interface *i = monitor->interfaces.first; i; i = i->next)
        number += i->instance && i->instance->attach;
    return number;
}

static void report_complete(struct monitor *monitor) {
    unsigned number;

    pthread_mutex_lock(&monitor->lock);
    number = count_attached(monitor);
    pthread_mutex_unlock(&monitor->lock);
    pb_log(LOG_INFO, "all %u interfaces are attached.", number);
    monitor->incomplete = false;
}

static void *link_thread(void *argument) {
    struct monitor *monitor = argument;
    const int retry = RETRY_INTERVAL / 1000000; /* ms */
    int timeout = monitor->incomplete ? 0 : retry;

    for (;;) {
        struct progress progress = {0};
        __u64 began;
        bool retries;
        int error;

        attacher_wait(&monitor->attacher, timeout);
        began = monotonic();
        if (attacher_is_stopped(&monitor->attacher, 0))
            return NULL;
        error = reconcile(&monitor->attacher, &progress);
        retries = error || progress.later;
        timeout = progress.left ? 0 : retries || monitor->attacher.by_route ? retry : -1;
        if (monitor->incomplete && !progress.left && !retries)
            report_complete(monitor);
        /* Others get the rtnl lock for as long, but what interrupted it doesn't wait. */
        if (attacher_is_stopped(&monitor->attacher, progress.left ? 0 : attacher_pause(began)))
            return NULL;
    }
}

/* ---- starting and stopping ---- */

/* Warns once of the configured names that are not there. */
static void warn_absent(const struct monitor *monitor, const struct links *links) {
    const char *name;

    for (unsigned n = 0; (name = selection_name(monitor->settings->interfaces, n)); n++)
        if (!links_have_name(links, name))
            pb_log(LOG_WARNING, "%s: interface not found; will attach when it appears.", name);
}

static void report_left_out(const struct monitor *monitor, const struct links *links) {
    char text[800]; /* a line of the log has 1,024 */

    if (!selection_is_empty(monitor->settings->interfaces))
        return;
    default_rule_describe(links, text, sizeof(text));
    if (text[0])
        pb_log(LOG_INFO, "not counted by default: %s. Interface \"/./\" counts every interface.",
               text);
}

static bool is_wanted(void *links, int interface) {
    return links_find_wanted(links, interface) != NULL;
}

/* Opens the pins if they are wanted, and removes what an earlier daemon pinned if not. */
static int open_pins(struct monitor *monitor) {
    int error = pins_open(&monitor->pins, monitor->settings->persist);

    if (error == -EBUSY && !monitor->settings->persist)
        return 0; /* they are a running daemon's */
    if (!error && monitor->pins && !monitor->settings->persist) {
        pins_sweep(monitor->pins, NULL, NULL);
        pins_close(monitor->pins);
        monitor->pins = NULL;
    }
    return error;
}

/* Removes what killed daemons left where nothing is to be resumed. */
static void remove_leftovers(struct monitor *monitor, struct links *links) {
    /* With pins a filter that is wanted is taken over while it counts. */
    for (unsigned i = 0; i < links->number; i++)
        if (!monitor->pins || !links->link[i].wanted)
            attach_remove_stale(links->link[i].index);
    if (monitor->pins)
        pins_sweep(monitor->pins, is_wanted, links);
}

/* At least one must be attached if any is wanted: else the thread's attempts would fail, too. */
static int first_attach(struct monitor *monitor) {
    struct progress progress = {.deadline = monotonic() + START_TIME};
    struct links links;
    int error = reconcile_list(&monitor->attacher, &links);

    if (error)
        return error;
    remove_leftovers(monitor, &links);
    error = interfaces_init(&monitor->interfaces, monitor->settings, monitor->pins);
    if (!error && monitor->pins)
        error = reconcile_resume(&monitor->attacher, &links);
    if (!error) {
        error = reconcile(&monitor->attacher, &progress);
        monitor->incomplete = progress.left;
        warn_absent(monitor, &links);
        if (count_attached(monitor))
            error = 0;
        if (!error)
            report_left_out(monitor, &links);
        if (!error && monitor->incomplete)
            pb_log(LOG_INFO, "%u interfaces are attached; the others follow.",
                   count_attached(monitor));
    }
    links_free(&links);
    return error;
}

static __u64 machine_memory(void) {
    return (__u64)sysconf(_SC_PHYS_PAGES) * (__u64)sysconf(_SC_PAGESIZE);
}

static __u64 interface_memory(const struct settings *settings) {
    struct classifier_settings classifier = policy_classifier(settings, classifier_lanes());

    return counters_size(&classifier) + (settings->persist ? policy_state_size(settings) : 0);
}

int monitor_start(struct monitor **out, const struct settings *settings, monitor_spawn_fn *spawn) {
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    int error = -ENOMEM;

    if (!monitor) {
        pb_log(LOG_ERR, "cannot start: out of memory.");
        return error;
    }
    monitor->settings = settings;
    pthread_mutex_init(&monitor->lock, NULL);
    monitor->wake = eventfd(0, EFD_CLOEXEC);
    error = monitor->wake < 0 ? -errno : 0;
    if (!error)
        error = netlink_open(&monitor->netlink);
    if (error)
        goto fail;
    error = open_pins(monitor);
    monitor->attacher = (struct attacher){
        .settings = settings,
        .netlink = monitor->netlink,
        .pins = monitor->pins,
        .interfaces = &monitor->interfaces,
        .lock = &monitor->lock,
        .stop = monitor->wake,
        .memory_each = interface_memory(settings),
        .memory_max = policy_memory_max(machine_memory()),
    };
    if (!error)
        error = first_attach(monitor);
    if (error) { /* the reason was logged */
        monitor_stop(monitor);
        return error;
    }
    error = -spawn(&monitor->thread, link_thread, monitor, "tc_portbytes");
    if (error)
        goto fail;
    monitor->running = true;
    *out = monitor;
    return 0;

fail:
    pb_log(LOG_ERR, "cannot start: %s.", strerror(-error));
    monitor_stop(monitor);
    return error;
}

/*
 * Whether what is pinned stays attached. Not without the pins: nobody would find it again. The
 * package may have been removed meanwhile.
 */
static bool is_kept(const struct monitor *monitor) {
    if (!monitor->running || !monitor->pins)
        return false;
    if (!pins_are_removed(monitor->pins))
        return true;
    pb_log(LOG_NOTICE, "what Persist pinned was removed externally; nothing stays attached.");
    return false;
}

void monitor_stop(struct monitor *monitor) {
    if (!monitor)
        return;
    if (monitor->running && eventfd_write(monitor->wake, 1) == 0)
        pthread_join(monitor->thread, NULL);
    interfaces_free(&monitor->interfaces, is_kept(monitor));
    pins_close(monitor->pins);
    netlink_close(monitor->netlink);
    if (monitor->wake >= 0)
        close(monitor->wake);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
}

void monitor_read(struct monitor *monitor, __u64 interval, monitor_report_fn *report,
                  void *context) {
    pthread_mutex_lock(&monitor->lock);
    interfaces_read(&monitor->interfaces, interval, report, context);
    pthread_mutex_unlock(&monitor->lock);
}

/* Without the lock, as monitor_read alone changes them. */
void monitor_new_ports(const struct monitor *monitor, struct new_ports *out) {
    *out = monitor->interfaces.new_ports;
}
