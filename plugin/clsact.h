/* SPDX-License-Identifier: MIT */
/*
 * Attaching by clsact (before Linux 6.6): a filter for each direction, below the interface's
 * clsact qdisc. A filter outlives its process, so what a killed daemon left is recognised and
 * replaced or removed; filters of running daemons and of others are left alone.
 */
#ifndef PB_CLSACT_H
#define PB_CLSACT_H

#include "attachment.h"

extern const struct attach_ops clsact_ops;

/* Removes the filters that killed daemons left on an interface, and their qdisc if it is unused. */
void clsact_remove_stale(int interface);

#endif
