/* SPDX-License-Identifier: MIT */
/*
 * One interface: the instance of the classifier that counts on it, if any, and the ledger that
 * keeps its series from the name's first appearance to the end of the daemon.
 *
 * One thread at a time, but for instance_open, which takes long: of what is shared it reads
 * settings and pins only, which never change. Errors are negative errno.
 */
#ifndef PB_INTERFACE_H
#define PB_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>

#include "ledger.h"
#include "listeners.h"
#include "log_limit.h"
#include "netlink.h"
#include "policy.h"

struct pins;

/* What all interfaces share. The monitor's. */
struct interface_env {
    const struct settings *settings;
    const struct pins *pins; /* NULL: nothing outlives the daemon */
    struct listeners listeners;
    struct port_range ephemeral;  /* folded now */
    struct pb_counters *counters; /* for one read of one interface */
};

/* How long after a failure to attach the next attempt comes. */
#define RETRY_INTERVAL (60 * SECOND)

/* ---- the classifier on one interface index ---- */

struct instance;

#define INSTANCE_REASON_SIZE LOAD_ERROR_SIZE

/*
 * Loads a classifier and attaches it to the link, with these ports folded; with pins it resumes
 * what is pinned. On failure reason[] has one sentence, and pins stay for the next attempt.
 * libbpf's lines are the caller's to capture. -ENODEV: the link has gone meanwhile.
 */
int instance_open(struct instance **out, const struct interface_env *env,
                  struct port_range ephemeral, const struct netlink_link *link,
                  char reason[INSTANCE_REASON_SIZE]);

/*
 * Detaches, and removes its pins. With `keep` and pins everything stays pinned and attached
 * instead. NULL is allowed.
 */
void instance_close(struct instance *instance, bool keep);

int instance_index(const struct instance *instance);

/* ---- an interface name ---- */

struct interface {
    struct interface *next;    /* the monitor's list */
    struct instance *instance; /* NULL: not counted */
    struct ledger *ledger;
    unsigned final_reports;   /* reads that still report its series after it was removed */
    __u64 removed_at;         /* monotonic ns; 0: not removed */
    bool loopback;            /* listeners on loopback addresses can be reached through it */
    __u64 restore_at;         /* monotonic ns: no attempt to attach again before then */
    struct log_limit failure; /* to attach, of the index and with the error that follow */
    int failed_index, failed_error;
    char name[IFNAMSIZ];
};

/* NULL: no memory. */
struct interface *interface_new(const char *name, const struct settings *settings);

/* Closes its instance too, see instance_close. */
void interface_free(struct interface *interface, bool keep);

/*
 * The instance begins to count under this name, and belongs to the interface. interface_resume
 * restores the ledger first from what the instance found pinned; on -ENOMEM nothing is taken.
 */
int interface_resume(struct interface *interface, const struct interface_env *env,
                     struct instance *instance, const struct netlink_link *link);
void interface_take(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link);

/*
 * Ends the log capture of an attempt to attach. error 0 or -ENODEV: the interface was attached, or
 * deleted meanwhile. Else the reason and libbpf's lines are logged, unless that would only repeat
 * what was logged of this index before. interface NULL: always.
 */
void interface_end_attempt(struct interface *interface, const struct netlink_link *link, int error,
                           const char *reason);

/* The interface was renamed: accounts what it counted and passes its instance on. */
struct instance *interface_pass(struct interface *interface, const struct interface_env *env);

/* The interface was removed, or is not wanted any more: detach, [grace period], then stop. */
void interface_detach(struct interface *interface);
void interface_stop(struct interface *interface, const struct interface_env *env);

/* The steps of a read that come before the grace period and after it, see slots.h. */
__u32 interface_unlink_slots(struct interface *interface, __u64 now);
void interface_quiesce_slots(struct interface *interface, __u64 until);

/* Puts missing attachments back, then accounts what was counted since the last read. */
void interface_read(struct interface *interface, const struct interface_env *env);

void interface_fold(struct interface *interface, struct port_range ephemeral);

/*
 * Reports every series once; after the interface was removed for final_reports more reads. Totals
 * are since the daemon began, in bytes and packets.
 */
typedef void interface_report_fn(void *context, const char *interface, const char *instance,
                                 const struct pb_counters *total);
void interface_report(struct interface *interface, interface_report_fn *report, void *context);

#endif
