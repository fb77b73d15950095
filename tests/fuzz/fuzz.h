/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. Include it in one file of a program: it defines pb_log. */
#ifndef PB_FUZZ_H
#define PB_FUZZ_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that does not hold: libFuzzer keeps the input. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Lines logged since it was last set to 0. Each must be one line and whole. */
static unsigned fuzz_lines;

void pb_log(int priority, const char *format, ...) {
    char line[2048];
    va_list arguments;
    int length;

    (void)priority;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    must(length > 0 && length < 1024); /* the plugin's own limit */
    must(!strchr(line, '\n'));
    fuzz_lines++;
}

/* ---- the input, taken piece by piece; behind its end there are zeros ---- */

struct input {
    const uint8_t *data;
    size_t left;
};

static inline unsigned take(struct input *input) {
    if (!input->left)
        return 0;
    input->left--;
    return *input->data++;
}

/* Up to the next zero or so many bytes, as a string of its own on the heap. */
static inline char *take_text(struct input *input, size_t most) {
    size_t length = 0;
    char *text;

    while (length < most && length < input->left && input->data[length])
        length++;
    text = malloc(length + 1);
    must(text);
    if (length)
        memcpy(text, input->data, length);
    text[length] = 0;
    input->data += length;
    input->left -= length;
    if (input->left) { /* the zero, too */
        input->data++;
        input->left--;
    }
    return text;
}

#endif
