/* SPDX-License-Identifier: MIT */
/*
 * Whatever a line of the log is about, it is one line of printable ASCII, and what differs still
 * does.
 *
 * Links: plugin/log.c.
 */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>

#include "log.h"
#include "tap.h"

#define LOG_PREFIX "tc_portbytes plugin: "

static char logged[2048];

/* Instead of collectd's. */
void plugin_log(int priority, const char *format, ...) {
    va_list arguments;

    (void)priority;
    va_start(arguments, format);
    vsnprintf(logged, sizeof(logged), format, arguments);
    va_end(arguments);
}

static const char *log_of(const char *name) {
    pb_log(LOG_INFO, "%s: counting.", name);
    return logged;
}

static bool is_plain(const char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

int main(void) {
    char name[2000], before[sizeof(logged)];
    unsigned wrong = 0;

    is_text(log_of("eth0.100@br-lan"), LOG_PREFIX "eth0.100@br-lan: counting.",
            "a usual name is as it is");
    is_text(log_of("a\n<3>b\x1b[2J"), LOG_PREFIX "a\\x0a<3>b\\x1b[2J: counting.",
            "a newline and an escape sequence are escaped");
    is_text(log_of("\x9b\xc2\x9b\x7f\xc3\xa4"),
            LOG_PREFIX "\\x9b\\xc2\\x9b\\x7f\\xc3\\xa4: counting.",
            "so are the control characters of ISO 6429 in both encodings, DEL, and UTF-8");
    is_text(log_of("a\\x1b"), LOG_PREFIX "a\\\\x1b: counting.",
            "and a backslash: no name looks like another's escape");
    before[0] = '\0';
    for (int byte = 1; byte < 256; byte++) {
        name[0] = (char)byte;
        name[1] = '\0';
        wrong += !is_plain(log_of(name)) || !strcmp(logged, before);
        snprintf(before, sizeof(before), "%s", logged);
    }
    is_u64(wrong, 0, "each byte is printable ASCII in the log, and differs from the one before");
    memset(name, '\x1b', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    log_of(name);
    ok(strlen(logged) < 1024 + strlen(LOG_PREFIX) && is_plain(logged) &&
           !strcmp(logged + strlen(logged) - 4, "\\x1b"),
       "what is too long is cut off behind an escape");
    return tap_end();
}
