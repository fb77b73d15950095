/* SPDX-License-Identifier: MIT */
/* The clock by which the plugin measures: CLOCK_MONOTONIC, in nanoseconds. */
#ifndef PB_CLOCK_H
#define PB_CLOCK_H

#include <time.h>

#include <linux/types.h>

#define SECOND 1000000000ull

static inline __u64 monotonic(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

#endif
