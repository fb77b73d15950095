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

/* A filter was removed; or could not be, by a negative errno. */
typedef void clsact_removed_fn(void *context, enum direction direction, __u32 program, int error);

/*
 * Removes the filters that killed daemons left on an interface; their qdisc stays. removed() is
 * called for each, if it is not NULL. Negative errno: what is there is not known.
 */
int clsact_remove_stale(int interface, clsact_removed_fn *removed, void *context);

#endif
