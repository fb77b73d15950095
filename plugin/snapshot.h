/* SPDX-License-Identifier: MIT */
/*
 * State that outlives the process, in memory that outlives it: two copies, of which the
 * newer one is valid at every instant a kill can strike, because one store makes it so.
 *
 * One process and one thread at a time. The memory is zero at first.
 */
#ifndef PB_SNAPSHOT_H
#define PB_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/* What so much state takes, in bytes. */
size_t snapshot_size(size_t state);

/*
 * The state that was committed last, aligned to 8 bytes; NULL: none was, or not under
 * this fingerprint. `size` is that of the memory, as by snapshot_size.
 */
const void *snapshot_latest(const void *memory, size_t size, __u64 fingerprint);

/* Whether anything was ever committed, under whichever fingerprint. */
bool snapshot_is_there(const void *memory);

/* Where to write the next state; then it becomes the latest. */
void *snapshot_begin(void *memory, size_t size);
void snapshot_commit(void *memory, size_t size, __u64 fingerprint);

#endif
