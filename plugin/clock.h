/* SPDX-License-Identifier: MIT */
/* The clocks by which the plugin measures, in nanoseconds: CLOCK_MONOTONIC. */
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

/* For hours and days: CLOCK_BOOTTIME, which goes on while the machine is suspended. */
static inline __u64 boottime(void) {
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

#endif
