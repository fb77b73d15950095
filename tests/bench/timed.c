/* SPDX-License-Identifier: MIT */
/*
 * The plugin as it is, with a clock around its read callback: one line for each read,
 * wall and CPU time of the callback in microseconds, goes to the file in PB_BENCH_READS.
 * To be loaded as tc_portbytes.so.
 */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>

#include <stdio.h>
#include <time.h>

static int (*callback)(void);

static double microseconds(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int timed_read(void) {
    double wall = microseconds(CLOCK_MONOTONIC), cpu = microseconds(CLOCK_THREAD_CPUTIME_ID);
    int result = callback();
    const char *name = getenv("PB_BENCH_READS");
    FILE *file;

    wall = microseconds(CLOCK_MONOTONIC) - wall;
    cpu = microseconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    file = name ? fopen(name, "ae") : NULL;
    if (file) {
        fprintf(file, "%.1f %.1f\n", wall, cpu);
        fclose(file);
    }
    return result;
}

static int timed_register(const char *name, int (*function)(void)) {
    callback = function;
    return plugin_register_read(name, timed_read);
}

#define plugin_register_read timed_register
#include "tc_portbytes.c" /* in plugin/ */
