/* SPDX-License-Identifier: MIT */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>

#include "escape.h"
#include "log.h"

#define LOG_PREFIX "tc_portbytes plugin: "
#define LINE       1024 /* collectd's own limit */

void pb_log(int priority, const char *format, ...) {
    char line[LINE], escaped[LINE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    escape(escaped, sizeof(escaped), line);
    plugin_log(priority, LOG_PREFIX "%s", escaped);
}
