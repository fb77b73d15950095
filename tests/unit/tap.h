/* SPDX-License-Identifier: MIT */
/*
 * The Test Anything Protocol, as far as these tests need it. To be included in one file of a
 * program: the count of tests is static. Main thread only.
 */
#ifndef PB_TAP_H
#define PB_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned tap_number, tap_failed;

/* A diagnostic about the last test; a line break in it stays within the comment. */
static inline __attribute__((format(printf, 1, 2))) void diag(const char *format, ...) {
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("#   ");
    for (const char *c = text; *c; c++)
        printf(*c == '\n' ? "\n#   " : "%c", *c);
    printf("\n");
}

static inline bool tap_result(bool passed, const char *file, int line, const char *format,
                              va_list arguments) {
    printf("%sok %u - ", passed ? "" : "not ", ++tap_number);
    vprintf(format, arguments);
    printf("\n");
    if (!passed) {
        tap_failed++;
        diag("%s:%d", file, line);
    }
    fflush(stdout); /* what was printed must survive a crash */
    return passed;
}

static inline __attribute__((format(printf, 4, 5))) bool tap_ok(bool passed, const char *file,
                                                                int line, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    tap_result(passed, file, line, format, arguments);
    va_end(arguments);
    return passed;
}

static inline __attribute__((format(printf, 5, 6))) bool tap_is_u64(unsigned long long got,
                                                                    unsigned long long expected,
                                                                    const char *file, int line,
                                                                    const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (!tap_result(got == expected, file, line, format, arguments))
        diag("got %llu, expected %llu", got, expected);
    va_end(arguments);
    return got == expected;
}

static inline __attribute__((format(printf, 5, 6))) bool tap_is_text(const char *got,
                                                                     const char *expected,
                                                                     const char *file, int line,
                                                                     const char *format, ...) {
    bool same = got && expected ? !strcmp(got, expected) : got == expected;
    va_list arguments;

    va_start(arguments, format);
    if (!tap_result(same, file, line, format, arguments))
        diag("got \"%s\", expected \"%s\"", got ? got : "(NULL)", expected ? expected : "(NULL)");
    va_end(arguments);
    return same;
}

/* After the condition or the values: what is tested, as for printf. */
#define ok(condition, ...)          tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is_u64(got, expected, ...)  tap_is_u64((got), (expected), __FILE__, __LINE__, __VA_ARGS__)
#define is_text(got, expected, ...) tap_is_text((got), (expected), __FILE__, __LINE__, __VA_ARGS__)

/* Prints the plan and returns the exit status. */
static inline int tap_end(void) {
    printf("1..%u\n", tap_number);
    if (tap_failed)
        printf("# %u of %u failed\n", tap_failed, tap_number);
    return tap_failed != 0;
}

#endif
