/* SPDX-License-Identifier: MIT */
/* Shared by the fuzz targets. Include it in one file of a program: it defines pb_log. */
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

/* An assertion; libFuzzer stores the input that violates it. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: violated: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Lines logged since it was last reset. None may contain a newline or be truncated. */
static unsigned fuzz_lines;

void pb_log(int priority, const char *format, ...) {
    char line[2048];
    va_list arguments;
    int length;

    (void)priority;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    must(length > 0 && length < 1024); /* the size of the plugin's buffer */
    must(!strchr(line, '\n'));
    fuzz_lines++;
}

/* ---- the input, consumed from its begin; followed by zeros ---- */

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

/* The bytes up to the next zero, at most `max`, as a string. The caller frees it. */
static inline char *take_text(struct input *input, size_t max) {
    size_t length = 0;
    char *text;

    while (length < max && length < input->left && input->data[length])
        length++;
    text = malloc(length + 1);
    must(text);
    if (length)
        memcpy(text, input->data, length);
    text[length] = 0;
    input->data += length;
    input->left -= length;
    if (input->left) { /* skip the zero */
        input->data++;
        input->left--;
    }
    return text;
}

#endif
