/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots of one BPF object: it books what they counted,
 * takes idle ones back, gives some to ports by policy. Works on memory alone.
 *
 * A dynamic slot is always in exactly one of three places: on the ring, in one
 * entry of the table, or withdrawn. A withdrawn slot may still be held by a CPU
 * that looked it up before; so it is put on the ring only after a grace period,
 * and after a read of the counters that followed the grace period. A granted slot
 * goes the same way, but back to a reserve that the classifier never sees.
 *
 * One read of an object is, in this order:
 *     slots_unlink, [grace period, slots_quiesce], the counters, slots_account,
 *     [slots_save], slots_recycle, slots_pick_victims
 *
 * Not thread-safe among user-space threads: one at a time per object. The
 * classifier runs all the time.
 */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct slots;

/*
 * Sets up a fresh, unattached object's memory: fixed slots into the table, dynamic
 * slots (at most PB_DYNAMIC_MAX) onto the ring, `granted` more kept for slots_reserve.
 * The memory stays the caller's and must outlive *out. -ENOMEM, -EINVAL.
 */
int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 granted);
void slots_free(struct slots *slots); /* NULL is fine */

/*
 * What another process needs to go on with the same memory: slots_save writes
 * slots_saved_size() bytes. To be called after slots_account and before slots_recycle: a slot
 * changes its owner only if the counts of the one before are in what was saved.
 */
size_t slots_saved_size(__u32 dynamic, __u32 granted);
void slots_save(const struct slots *slots, void *to);

/*
 * As slots_new, but of memory that was in use: `from` was saved by a process which may have
 * gone on after that, and ended at any instant. With the same `dynamic` and `granted`; the
 * classifier may run. The counters are those that go with the memory.
 */
int slots_restore(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 granted,
                  const void *from);

/* How many slots there are with these, of all kinds, slot 0 included. */
__u32 slots_total(__u32 dynamic, __u32 granted);

/* How many of them, from slot 0 on, may have counted something: what a read needs. */
__u32 slots_used(const struct slots *slots);

/*
 * Ports first to last (first > last: none) of every transport count in the ephemeral
 * buckets from now on, others no more. Ports with a granted slot keep it.
 */
void slots_fold(struct slots *slots, __u32 first, __u32 last);

/*
 * Gives key a slot that no scan can take, until slots_pick_victims finds it not kept any
 * more. False: there is none left. A dynamic slot that key had is withdrawn.
 */
bool slots_reserve(struct slots *slots, __u32 key);

/*
 * Withdraws the slots chosen at an earlier read. now: monotonic nanoseconds.
 * Returns how many withdrawn slots still wait for their grace period.
 */
__u32 slots_unlink(struct slots *slots, __u64 now);

/* A grace period has passed for every slot that was withdrawn at `until` or before. */
void slots_quiesce(struct slots *slots, __u64 until);

/*
 * One call for each slot that carried something since the last read. Fixed slot:
 * `slot` is below PB_FIXED_SLOTS, key and held mean nothing. Dynamic: key, and
 * held = bytes (rx + tx) since the key took this slot, delta included.
 */
typedef void slots_account_fn(void *context, __u32 slot, __u32 key, __u64 held,
                              const struct pb_counters *delta);

/*
 * counters: the sums over all CPUs of slots_used() slots, read after
 * slots_quiesce and followed by a full fence.
 */
void slots_account(struct slots *slots, const struct pb_counters *counters, slots_account_fn *book,
                   void *context);

/* Puts the withdrawn slots on the ring whose grace period came before the counters. */
void slots_recycle(struct slots *slots);

/*
 * Takes back what keep() does not want kept: granted slots, and dynamic slots that
 * carried nothing for an interval. With an empty ring also those dynamic ones that
 * carried no more than the mean: new ports must find slots, or a scan would hold
 * them all. They are withdrawn at the next read.
 */
void slots_pick_victims(struct slots *slots, bool (*keep)(void *context, __u32 key), void *context);

#endif
