/* SPDX-License-Identifier: MIT */
/*
 * A limit for a message that a persisting fault would repeat for ever: it passes at once, then
 * after a minute, and each time after twice as long, up to a day.
 */
#ifndef PB_LOG_LIMIT_H
#define PB_LOG_LIMIT_H

#include <stdbool.h>

#include "clock.h"

#define LOG_LIMIT_MIN (60 * SECOND)
#define LOG_LIMIT_MAX (86400 * SECOND)

/* All zero: nothing was logged yet. */
struct log_limit {
    __u64 next;     /* monotonic ns: not before then */
    __u64 interval; /* ns, the one that led to it */
};

/* Whether the message may be logged at `now`, monotonic ns. It is taken to be logged then. */
static inline bool log_limit_pass(struct log_limit *limit, __u64 now) {
    __u64 interval = limit->interval ? limit->interval * 2 : LOG_LIMIT_MIN;

    if (now < limit->next)
        return false;
    limit->interval = interval < LOG_LIMIT_MAX ? interval : LOG_LIMIT_MAX;
    limit->next = now + limit->interval;
    return true;
}

/* The fault is over: the next one is logged at once. */
static inline void log_limit_reset(struct log_limit *limit) {
    *limit = (struct log_limit){0};
}

#endif
