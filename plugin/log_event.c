/* SPDX-License-Identifier: MIT */
#include "log_event.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "log_limit.h"

static struct {
    pthread_mutex_t lock;
    struct log_budget budget;
    struct log_limit limit; /* of the line that others are left out */
    unsigned long left_out;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns whether the line may be logged; else *left_out is how many may not, if that is to be. */
static bool pass(unsigned long *left_out) {
    __u64 now = monotonic();
    bool passes;

    pthread_mutex_lock(&events.lock);
    passes = log_budget_pass(&events.budget, now);
    events.left_out += !passes;
    *left_out = !passes && log_limit_pass(&events.limit, now) ? events.left_out : 0;
    pthread_mutex_unlock(&events.lock);
    return passes;
}

bool pb_log_event(int priority, const char *format, ...) {
    unsigned long left_out;
    va_list arguments;
    char line[1024];

    if (!pass(&left_out)) {
        if (left_out)
            pb_log(LOG_NOTICE,
                   "too many messages about interfaces: %lu left out so far; now one is logged "
                   "every %llu s at most.",
                   left_out, LOG_BUDGET_REFILL / SECOND);
        return false;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    pb_log(priority, "%s", line);
    return true;
}
