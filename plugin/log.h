/* SPDX-License-Identifier: MIT */
/*
 * Where the modules say something to the operator. Implemented by whoever links
 * them: the plugin (collectd's log), the tests (captured). One call, one line of
 * printable ASCII: any other byte, which the name of an interface may have, is
 * written as \xHH, and a backslash as two. The caller does not escape.
 * Priorities are syslog's (LOG_ERR ... LOG_DEBUG), which are collectd's too.
 * Safe from any thread.
 */
#ifndef PB_LOG_H
#define PB_LOG_H

#include <syslog.h>

void pb_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
