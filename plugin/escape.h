/* SPDX-License-Identifier: MIT */
/* Text from outside, which may have any bytes, for the log or a terminal. Any thread. */
#ifndef PB_ESCAPE_H
#define PB_ESCAPE_H

#include <stddef.h>

/*
 * Writes text to out, size bytes with the null byte, as printable ASCII: any other byte as \xHH, a
 * backslash as two. Cuts off what does not fit, but no escape in the middle. size: at least 5.
 */
void escape(char *out, size_t size, const char *text);

#endif
