/* SPDX-License-Identifier: MIT */
/*
 * The log of what happens to interfaces: that they come, go, or can't be attached. Whoever may make
 * interfaces decides how often that is, and under which names; so such lines have a limit for all
 * together, see log_limit.h. That lines are left out is logged as well.
 */
#ifndef PB_LOG_EVENT_H
#define PB_LOG_EVENT_H

#include <stdbool.h>

#include "log.h"

/* As pb_log. Returns whether the line was logged. Any thread. */
bool pb_log_event(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
