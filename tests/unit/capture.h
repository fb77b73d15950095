/* SPDX-License-Identifier: MIT */
/*
 * pb_log for tests: records the lines. To be included in one file of a program, as it defines
 * pb_log.
 */
#ifndef PB_CAPTURE_H
#define PB_CAPTURE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

#define CAPTURE_LINES 128

static struct {
    pthread_mutex_t lock;
    unsigned number; /* of calls; lines beyond CAPTURE_LINES are not recorded */
    int priority[CAPTURE_LINES];
    char line[CAPTURE_LINES][2048];
} captured = {.lock = PTHREAD_MUTEX_INITIALIZER};

void pb_log(int priority, const char *format, ...) {
    va_list arguments;

    pthread_mutex_lock(&captured.lock);
    if (captured.number < CAPTURE_LINES) {
        captured.priority[captured.number] = priority;
        va_start(arguments, format);
        vsnprintf(captured.line[captured.number], sizeof(captured.line[0]), format, arguments);
        va_end(arguments);
    }
    captured.number++;
    pthread_mutex_unlock(&captured.lock);
}

static inline void capture_clear(void) {
    pthread_mutex_lock(&captured.lock);
    captured.number = 0;
    captured.line[0][0] = 0;
    pthread_mutex_unlock(&captured.lock);
}

/* How many of the recorded lines contain the text. */
static inline unsigned capture_count(const char *text) {
    unsigned number = 0;

    pthread_mutex_lock(&captured.lock);
    for (unsigned i = 0; i < captured.number && i < CAPTURE_LINES; i++)
        number += strstr(captured.line[i], text) != NULL;
    pthread_mutex_unlock(&captured.lock);
    return number;
}

#endif
