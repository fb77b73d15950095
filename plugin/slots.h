/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots of one BPF object: accounts what they counted since the last read,
 * recycles idle ones, and reserves some for ports by policy. It works on the memory that
 * tc_portbytes.h describes and makes no system calls.
 *
 * Two kinds of slots have no fixed meaning:
 * - A dynamic slot starts on the ring. The classifier allocates it to a port that has none. When it
 *   is idle, user space recycles it: unlinks it from the table, waits for a grace period, because a
 *   CPU that looked it up before may still count in it, reads its counters a last time, and puts it
 *   back on the ring.
 * - A reserved slot is put into the table by slots_reserve and never appears on the ring. Port
 * scans cannot exhaust these. It is recycled the same way, but becomes available to slots_reserve.
 *
 * One read of an object is, in this order:
 *     slots_unlink, [grace period, slots_quiesce], read the counters, slots_account,
 *     [slots_save], slots_recycle, slots_pick_victims
 *
 * `dynamic` and `reserved` are the numbers of slots of either kind: at most PB_DYNAMIC_MAX and
 * PB_PORT_KEYS. Times are monotonic nanoseconds, ports and keys in host byte order. Functions that
 * can fail return 0 or a negative errno, and leave their outputs unchanged on failure.
 *
 * Threads: one at a time per struct slots. The classifier may run on all CPUs at any time.
 */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct slots;

/*
 * Prepares the memory of a new object, to which no traffic is attached yet: fixed slots go into the
 * table, dynamic slots onto the ring. `shared` must be zero. It remains the caller's and must
 * outlive *out. -ENOMEM; -EINVAL: `dynamic` or `reserved` out of range.
 */
int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved);
void slots_free(struct slots *slots); /* NULL is fine */

/*
 * slots_save writes the state that another process needs to continue with the same shared memory:
 * slots_saved_size() bytes, a multiple of 8, to an address that is a multiple of 8. Call it between
 * slots_account and slots_recycle: a slot may only change its owner when the counts of the previous
 * owner are in a saved state.
 */
size_t slots_saved_size(__u32 dynamic, __u32 reserved);
void slots_save(const struct slots *slots, void *to);

/*
 * As slots_new, but continues with memory in use. `from` was saved by a process that may have run
 * on after that and was killed at any point; `dynamic` and `reserved` are those it had. The
 * classifier may be running. `shared` and the counters must be those that this process left.
 */
int slots_restore(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved,
                  const void *from);

/* The number of slots of all kinds, slot 0 included. */
__u32 slots_total(__u32 dynamic, __u32 reserved);

/* The number of slots, from slot 0 on, that a read must cover: no later one has counted yet. */
__u32 slots_used(const struct slots *slots);

/*
 * Ports `first` to `last` of every transport count in its "ephemeral" slot from now on, replacing
 * the previous range; first > last: no port does. Ports with a reserved slot keep it.
 */
void slots_fold(struct slots *slots, __u32 first, __u32 last);

/*
 * Gives a port a reserved slot, which it has until slots_pick_victims finds it not to be kept. A
 * dynamic slot that it had is unlinked. True also if the port has one already; false: none is left.
 * key: below PB_PORT_KEYS.
 */
bool slots_reserve(struct slots *slots, __u32 key);

/*
 * Removes the victims of the last read from the table. now: not 0. Returns how many unlinked slots,
 * of this and earlier reads, wait for a grace period.
 */
__u32 slots_unlink(struct slots *slots, __u64 now);

/*
 * A grace period that began at `until` or later has ended: no CPU counts any more in the slots that
 * a slots_unlink with now <= until found waiting.
 */
void slots_quiesce(struct slots *slots, __u64 until);

/*
 * Called for each slot that counted something since the last read.
 * slot: which one. A fixed slot is below PB_FIXED_SLOTS; key and slot_bytes mean nothing then.
 * key: the port that owns the slot. One port may have several slots in the same read.
 * slot_bytes: bytes, rx + tx, since the port got this slot, delta included.
 */
typedef void slots_account_fn(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                              const struct pb_counters *delta);

/*
 * counters: the sums over all CPUs of the first slots_used() slots. They must be read after
 * slots_quiesce, with a full memory barrier between reading them and this call.
 */
void slots_account(struct slots *slots, const struct pb_counters *counters,
                   slots_account_fn *account, void *context);

/* Recycles the unlinked slots whose counters were read after their grace period. */
void slots_recycle(struct slots *slots);

/*
 * Picks the dynamic slots that the next slots_unlink removes: those that counted nothing since the
 * previous read. When the ring is empty, also the busy ones that have counted no more than their
 * mean, or a port scan would hold all slots. Unlinks reserved slots at once, busy or not. Spares
 * the slots of the ports for which keep() returns true.
 */
void slots_pick_victims(struct slots *slots, bool (*keep)(void *context, __u32 key), void *context);

#endif
