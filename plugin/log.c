/* SPDX-License-Identifier: MIT */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>

#include <ctype.h>

#include "log.h"

void pb_log(int priority, const char *format, ...) {
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    /* The name of an interface may have any of them. */
    for (char *c = line; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    plugin_log(priority, "tc_portbytes plugin: %s", line);
}
