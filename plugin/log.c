/* SPDX-License-Identifier: MIT */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>

#include "log.h"

#define LOG_PREFIX "tc_portbytes plugin: "
#define LINE       1024 /* collectd's own limit */

/* Cuts off what does not fit, but no escape in the middle. */
static void escape(char out[LINE], const char *text) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;

    for (const unsigned char *c = (const unsigned char *)text; *c && used < LINE - 4; c++) {
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

void pb_log(int priority, const char *format, ...) {
    char line[LINE], escaped[LINE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    escape(escaped, line);
    plugin_log(priority, LOG_PREFIX "%s", escaped);
}
