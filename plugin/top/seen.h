/* SPDX-License-Identifier: MIT */
/*
 * Which series were seen since the program started. collectd's socket tells when a series was
 * updated last, not when it began: so a series is new if an earlier table did not have it.
 */
#ifndef PB_TOP_SEEN_H
#define PB_TOP_SEEN_H

#include "table.h"

#include <linux/types.h>

/* All zero: nothing was seen. */
struct seen {
    struct seen_series *series; /* sorted by name */
    size_t number;
};

/*
 * Sets is_new of each row: those of the first table that has rows are not new; one that comes later
 * is, for `period`. A series that was in none of the tables of a whole period has ended, and is new
 * when it comes again.
 *
 * table: after top_table_finish(), in any order. now: monotonic, not before the last one; both in
 * the same unit. -ENOMEM: nothing has changed.
 */
int seen_update(struct seen *seen, struct top_table *table, __u64 now, __u64 period);

/* Leaves it all zero. */
void seen_free(struct seen *seen);

#endif
