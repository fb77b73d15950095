/* SPDX-License-Identifier: MIT */
/*
 * Begins to count on interfaces and ends it. What takes long, making counters, attaching, detaching
 * and grace periods, happens without the lock that reads take.
 *
 * One thread. Errors are negative errno.
 */
#ifndef PB_ATTACHER_H
#define PB_ATTACHER_H

#include <pthread.h>

#include "interfaces.h"

/* Why interfaces that are wanted and up can't be counted, whichever they are. */
enum shortage { ENOUGH, NO_DESCRIPTORS, NO_MEMORY };

/* What it works with is set by the caller, and the rest zero. */
struct attacher {
    const struct settings *settings;
    struct netlink *netlink;
    const struct pins *pins; /* NULL: nothing outlives the daemon */
    struct interfaces *interfaces;
    pthread_mutex_t *lock; /* for interfaces, but for its classifier, which is the thread's */
    int stop;              /* readable when the thread is to end */
    __u64 memory_each;     /* bytes of kernel memory for an interface's counters and state */
    __u64 memory_max;      /* for those of all interfaces */

    struct default_rule default_rule; /* which is asked without Interface lines */
    bool by_route; /* by it the default route matters, whose changes make no event */

    struct log_limit list_failure;
    enum shortage shortage; /* that was reported */
    __u64 shortage_until;   /* monotonic ns: nothing new is attached before then */
    struct log_limit shortage_limit;
};

/* Whether the thread is to end, after at most so many milliseconds; -1: no limit. */
bool attacher_is_stopped(const struct attacher *attacher, int timeout_ms);

/* The same, or links have changed. */
bool attacher_wait(const struct attacher *attacher, int timeout_ms);

/* For how many milliseconds to leave the rtnl lock to others after work that began at `since`. */
int attacher_pause(__u64 since);

/* How many interfaces have an instance. */
unsigned attacher_number(struct attacher *attacher);

/* ---- interfaces come ---- */

/* How far attaching came. */
struct progress {
    __u64 deadline; /* monotonic ns; 0: none, and others get the rtnl lock in between */
    bool left;      /* it was interrupted: by the deadline, a change of links, or the stop */
    bool later;     /* some are to be tried again after RETRY_INTERVAL */
};

/*
 * Attaches to links that aren't attached yet. A shortage ends it, and is reported. Returns the last
 * error of a link, which was logged.
 */
int attacher_attach(struct attacher *attacher, const struct netlink_link *const *links,
                    unsigned number, struct progress *progress);

/*
 * Begins to read interfaces that are pinned, and that may be down: no slot may be recycled before
 * all that count in it are read. Where that fails the pins are removed, so that nothing counts.
 */
void attacher_resume(struct attacher *attacher, const struct netlink_link *const *links,
                     unsigned number);

/* ---- interfaces go ---- */

/*
 * Closes attachments that interfaces_detach took, waits until no CPU counts any more, reads the
 * interfaces a last time and ends them, which is logged if they are gone. ended[] is room for all
 * of their instances, which are closed.
 */
void attacher_end(struct attacher *attacher, struct attach *const *detached, unsigned number,
                  struct instance **ended, bool gone);

/* Withdraws and closes instances that belong to no interface any more. */
void attacher_close(struct instance *const *instances, unsigned number);

#endif
