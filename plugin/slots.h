/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots: accounts what they counted since the last read, recycles idle
 * ones, and reserves some for ports by policy. It works on the memory that tc_portbytes.h describes
 * and makes no system calls.
 *
 * A slot belongs to one port on every interface. What each interface has counted in it is kept in
 * the interface's tally.
 *
 * Two kinds of slots have no fixed meaning:
 * - A dynamic slot starts on the ring. The classifier allocates it to a port that has none. When it
 *   is idle, user space recycles it: unlinks it from the table, waits for a grace period, because a
 *   CPU that looked it up before may still count in it, reads its counters on every interface a
 *   last time, and puts it back on the ring.
 * - A reserved slot is put into the table by slots_reserve and never appears on the ring. Port
 *   scans cannot exhaust these. It is recycled the same way, but becomes available to
 *   slots_reserve.
 *
 * One read of all interfaces is, in this order:
 *     slots_unlink, [grace period, slots_quiesce], slots_list,
 *     for each interface that was ever attached: read the listed counters, slots_account,
 *         [tally_save], slots_keep for each of its series,
 *     [slots_save], slots_recycle, slots_end_surplus, slots_pick_victims
 *
 * One interface may be read and accounted between these: that recycles nothing.
 *
 * `dynamic` and `reserved` are the numbers of slots of either kind: at most PB_DYNAMIC_MAX and
 * PB_PORT_KEYS. Times are monotonic nanoseconds, ports and keys in host byte order. Functions that
 * can fail return 0 or a negative errno, and leave their outputs unchanged on failure.
 *
 * Threads: one at a time for a struct slots and its tallies. The classifier may run on all CPUs at
 * any time.
 */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct slots;
struct tally;

/*
 * Prepares the shared memory, which no classifier uses yet: fixed slots go into the table, dynamic
 * slots onto the ring. `shared` must be zero. It remains the caller's and must outlive *out.
 * -ENOMEM; -EINVAL: `dynamic` or `reserved` out of range.
 */
int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved);
void slots_free(struct slots *slots); /* NULL is fine */

/* For counters that are zero. To be freed before `slots` is. -ENOMEM. */
int tally_new(struct tally **out, const struct slots *slots);
void tally_free(struct tally *tally); /* NULL is fine */

/*
 * slots_save and tally_save write the state that another process needs to continue with the same
 * shared memory and the same counters: slots_saved_size() and tally_saved_size() bytes, multiples
 * of 8, to an address that is a multiple of 8. In a read of all interfaces every tally is saved
 * after its slots_account, then the slots, before slots_recycle: a slot may only change its owner
 * when the counts of the previous owner are in a saved state. A tally that is accounted between
 * reads may be saved then, too.
 */
size_t slots_saved_size(__u32 dynamic, __u32 reserved);
void slots_save(const struct slots *slots, void *to);
size_t tally_saved_size(__u32 dynamic, __u32 reserved);
void tally_save(const struct tally *tally, void *to);

/*
 * As slots_new, but continues with memory in use. `from` was saved by a process that may have run
 * on after that and was killed at any point; `dynamic` and `reserved` are those it had. The
 * classifier may be running. Before slots_recycle is called for the first time, every interface
 * whose counters that process left must have its tally, or must not be counted on any more.
 */
int slots_restore(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved,
                  const void *from);

/* As tally_new, but for counters in use. -ENOMEM. */
int tally_restore(struct tally **out, const struct slots *slots, const void *from);

/* The number of slots of all kinds, slot 0 included. */
__u32 slots_total(__u32 dynamic, __u32 reserved);

/*
 * Ports `first` to `last` of every transport count in its "ephemeral" slot from now on, replacing
 * the previous range; first > last: no port does. Ports with a reserved slot keep it.
 */
void slots_fold(struct slots *slots, __u32 first, __u32 last);

/*
 * Gives a port a reserved slot, which it has until slots_pick_victims finds it not to be kept. A
 * dynamic slot that it had is unlinked. True also if the port has one already; false: none is left.
 * key: below PB_PORT_KEYS. Not between slots_save and slots_pick_victims, which could unlink the
 * slot before its owner is in a saved state.
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
 * The slots whose counters are to be read now, ascending; returns how many. Left out are those that
 * can't have counted since they were accounted: on the ring, or never reserved. With `last`, which
 * is for an interface's last read, also those that are about to be allocated are listed. Valid
 * until the next call; the memory is the slots'.
 */
__u32 slots_list(struct slots *slots, bool last, const __u32 **list);

/*
 * Called for each slot that counted something since the last read.
 * slot: which one. A fixed slot is below PB_FIXED_SLOTS; key and slot_bytes mean nothing then.
 * key: the port that owns the slot. One port may have several slots in the same read.
 * slot_bytes: bytes, rx + tx, that the interface counted since the port got this slot, delta
 * included.
 */
typedef void slots_account_fn(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                              const struct pb_counters *delta);

/*
 * counters: by slot, the sums over all CPUs; only those of the last slots_list are read. They must
 * have been read after it, with a full memory barrier between reading them and this call.
 */
void slots_account(struct slots *slots, struct tally *tally, const struct pb_counters *counters,
                   slots_account_fn *account, void *context);

/*
 * A port is a series on some interface: its slot is not recycled in this read. busy: how busy the
 * series is, in bytes; they are added up. SLOTS_BUSY_MAX: it must not be ended either.
 */
#define SLOTS_BUSY_MAX (~0ull)
void slots_keep(struct slots *slots, __u32 key, __u64 busy);

/*
 * Recycles the quiescent slots, which all interfaces must have accounted and, if they are saved,
 * saved since then.
 */
void slots_recycle(struct slots *slots);

/*
 * At most three quarters of the dynamic slots are kept, so that some are always recycled. Of those
 * that exceed this the least busy ones become victims, see slots_pick_victims, and end() is called
 * for each port: its series is to end.
 */
void slots_end_surplus(struct slots *slots, void (*end)(void *context, __u32 key), void *context);

/*
 * Picks the dynamic slots that the next slots_unlink removes, of those that slots_keep does not
 * spare: while fewer than half of the dynamic slots are on the ring, those that counted nothing on
 * any interface since the previous read. When the ring is empty, also the busy ones that have
 * counted no more than their mean, or a port scan would hold all slots. Unlinks reserved slots that
 * are not kept at once, busy or not. Then forgets what was kept.
 */
void slots_pick_victims(struct slots *slots);

#endif
