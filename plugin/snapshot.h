/* SPDX-License-Identifier: MIT */
/*
 * Saved state in memory that outlives the process. The memory has two copies, and one store makes
 * the other copy the latest: a process that is killed at any point leaves a complete one.
 *
 * `memory` is the caller's, aligned to 8 bytes, and zero at first. `size` is its size in bytes as
 * returned by snapshot_size. `fingerprint` identifies the format and whatever else the state
 * depends on: a state is only found under the one that it was committed with.
 *
 * Threads: one process and one thread at a time.
 */
#ifndef PB_SNAPSHOT_H
#define PB_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/* The size of the memory for a state of `state` bytes. */
size_t snapshot_size(size_t state);

/*
 * The state that was committed last, aligned to 8 bytes. NULL: none was, or with another
 * fingerprint. It points into the memory; the snapshot_begin after the next snapshot_commit
 * overwrites it.
 */
const void *snapshot_latest(const void *memory, size_t size, __u64 fingerprint);

/* Whether any state was ever committed, with whichever fingerprint. */
bool snapshot_is_there(const void *memory);

/*
 * Where to write the next state, aligned to 8 bytes. What is written there becomes the latest state
 * with snapshot_commit. Without a commit it changes nothing.
 */
void *snapshot_begin(void *memory, size_t size);
void snapshot_commit(void *memory, size_t size, __u64 fingerprint);

#endif
