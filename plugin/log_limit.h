/* SPDX-License-Identifier: MIT */
/* Limits for messages that would be repeated for ever. One thread at a time for each. */
#ifndef PB_LOG_LIMIT_H
#define PB_LOG_LIMIT_H

#include <stdbool.h>

#include "clock.h"

#define LOG_LIMIT_MIN (60 * SECOND)
#define LOG_LIMIT_MAX (86400 * SECOND)

/* ---- one message, of a persisting fault ---- */

/*
 * It passes at once, then after a minute, and each time after twice as long, up to a day. All zero:
 * nothing was logged yet.
 */
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

/* ---- messages of a kind, each of them with a cause of its own ---- */

#define LOG_BUDGET        2048
#define LOG_BUDGET_REFILL (10 * SECOND)

/* LOG_BUDGET of them pass at once, and one more for each LOG_BUDGET_REFILL. All zero: none yet. */
struct log_budget {
    __u64 refilled; /* monotonic ns: when all of it will be there again */
};

/* As log_limit_pass. A clock that went back by more than all of it: none was logged. */
static inline bool log_budget_pass(struct log_budget *budget, __u64 now) {
    __u64 owed = budget->refilled > now ? budget->refilled - now : 0;

    if (owed > LOG_BUDGET * LOG_BUDGET_REFILL)
        owed = 0;
    if (owed > (LOG_BUDGET - 1) * LOG_BUDGET_REFILL)
        return false;
    budget->refilled = now + owed + LOG_BUDGET_REFILL;
    return true;
}

#endif
