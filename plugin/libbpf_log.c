/* SPDX-License-Identifier: MIT */
#include "libbpf_log.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static _Thread_local struct {
    char *text;
    size_t length;
    unsigned depth; /* captures that began and have not ended */
} capture;

/*
 * A process has one print function, and other plugins may use libbpf in their threads at the same
 * time. So it is replaced once and for all, and lines of others go to the function before ours.
 */
static libbpf_print_fn_t previous_print;

static int on_print(enum libbpf_print_level level, const char *format, va_list arguments) {
    char *line, *text;
    int length;

    if (!capture.depth)
        return previous_print ? previous_print(level, format, arguments) : 0;
    if (level == LIBBPF_DEBUG)
        return 0;
    length = vasprintf(&line, format, arguments);
    if (length < 0)
        return 0;
    text = realloc(capture.text, capture.length + length + 1);
    if (text) {
        memcpy(text + capture.length, line, length + 1);
        capture.text = text;
        capture.length += length;
    }
    free(line);
    return 0;
}

static void replace_print(void) {
    previous_print = libbpf_set_print(on_print);
}

void log_capture_begin(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, replace_print);
    capture.depth++;
}

void log_capture_discard(void) {
    free(capture.text);
    capture.text = NULL;
    capture.length = 0;
}

void log_capture_end(const char *name, int priority) {
    char *rest = NULL;

    if (--capture.depth)
        return;
    for (char *line = capture.text && priority >= 0 ? strtok_r(capture.text, "\n", &rest) : NULL;
         line; line = strtok_r(NULL, "\n", &rest))
        pb_log(priority, "%s: %s", name, line);
    log_capture_discard();
}
