/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots of one BPF object: it books what they counted,
 * takes idle ones back and puts them on the ring again. Works on memory alone.
 *
 * A dynamic slot is always in exactly one of three places: on the ring, in one
 * entry of the table, or withdrawn. A withdrawn slot may still be held by a CPU
 * that looked it up before; so it is put on the ring only after a grace period,
 * and after a read of the counters that followed the grace period.
 *
 * One read of an object is, in this order:
 *     slots_withdraw, [grace period, slots_passed], the counters, slots_book,
 *     slots_release, slots_choose
 *
 * Not thread-safe among user-space threads: one at a time per object. The
 * classifier runs all the time.
 */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include <stdbool.h>

#include "tc_portbytes.h"

struct slots;

/*
 * Gives out a fresh, unattached object's memory: fixed slots into the table,
 * dynamic slots (1 to PB_DYNAMIC_MAX of them) onto the ring. The memory stays
 * the caller's and must outlive *out. -ENOMEM, -EINVAL.
 */
int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic);
void slots_free(struct slots *slots); /* NULL is fine */

/* How many slots the object has, fixed ones and slot 0 included. */
__u32 slots_number(const struct slots *slots);

/*
 * Makes slot `to` the answer for key: a fixed slot, or 0 to give the key back to
 * the ring. A dynamic slot that stood there is withdrawn.
 */
void slots_assign(struct slots *slots, __u32 key, __u32 to);

/*
 * Withdraws the slots chosen at an earlier read. now: monotonic nanoseconds.
 * Returns how many withdrawn slots still wait for their grace period.
 */
__u32 slots_withdraw(struct slots *slots, __u64 now);

/* A grace period has passed for every slot that was withdrawn at `until` or before. */
void slots_passed(struct slots *slots, __u64 until);

/*
 * One call for each slot that carried something since the last read. Fixed slot:
 * `slot` is below PB_FIXED_SLOTS, key and held mean nothing. Dynamic: key, and
 * held = bytes (rx + tx) since the key took this slot, delta included.
 */
typedef void slots_book_fn(void *context, __u32 slot, __u32 key, __u64 held,
                           const struct pb_counters *delta);

/*
 * counters: the sums over all CPUs, slots_number() of them, read after
 * slots_passed and followed by a full fence.
 */
void slots_book(struct slots *slots, const struct pb_counters *counters, slots_book_fn *book,
                void *context);

/* Puts the withdrawn slots on the ring whose grace period came before the counters. */
void slots_release(struct slots *slots);

/*
 * Chooses slots to withdraw at the next read: those that carried nothing for an
 * interval and whose key keep() does not want kept. When that frees none and the
 * ring is empty, the ones not kept that carried least: a new port must find a slot.
 */
void slots_choose(struct slots *slots, bool (*keep)(void *context, __u32 key), void *context);

#endif
