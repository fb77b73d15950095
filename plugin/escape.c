/* SPDX-License-Identifier: MIT */
#include "escape.h"

void escape(char *out, size_t size, const char *text) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;

    for (const unsigned char *c = (const unsigned char *)text; *c && used < size - 4; c++) {
        if (*c == '\\') {
            out[used++] = '\\';
            out[used++] = '\\';
        } else if (*c >= ' ' && *c <= '~') {
            out[used++] = (char)*c;
        } else {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[*c >> 4];
            out[used++] = digits[*c & 15];
        }
    }
    out[used] = '\0';
}
