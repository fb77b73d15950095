/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots: accounts what they counted since the last read, recycles idle
 * ones, and reserves some for ports by policy. It works on the memory that tc_portbytes.h describes
 * and makes no system calls.
 *
 * A slot belongs to one port on every interface. What each interface has counted in it is kept in
 * the interface's tally.
 *
 * Three kinds of slots have no fixed meaning:
 * - A dynamic slot starts on the ring. The classifier allocates it to a port that has none. When it
 *   is idle, user space recycles it: unlinks it from the table, waits for a grace period, because a
 *   CPU that looked it up before may still count in it, reads its counters on every interface a
 *   last time, and puts it back on the ring.
 * - A reserved slot is put into the table by slots_reserve or slots_listen and never appears on the
 *   ring. Port scans cannot exhaust these. It is recycled the same way, but becomes available to
 *   those two.
 * - A group's slot belongs to all ports of a group, from slots_group to the end.
 *
 * One read of all interfaces is, in this order:
 *     slots_unlink, [grace period, slots_quiesce], slots_list,
 *     for each interface that was ever attached: read the listed counters, slots_account,
 *         [tally_save], slots_keep for each of its series,
 *     [slots_save], slots_recycle, slots_end_surplus, slots_pick_victims
 *
 * One interface may be read and accounted between these: that recycles nothing.
 *
 * Times are monotonic nanoseconds, ports and keys in host byte order. Functions that
 * can fail return 0 or a negative errno, and leave their outputs unchanged on failure.
 *
 * Threads: one at a time for a struct slots and its tallies. The classifier may run on all CPUs at
 * any time.
 */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "groups.h"
#include "port_set.h"
#include "tc_portbytes.h"

struct slots;
struct tally;

/* How many slots there are of each kind that has no fixed meaning. */
struct slots_layout {
    __u32 dynamic;  /* at most PB_DYNAMIC_MAX */
    __u32 reserved; /* at most PB_PORT_KEYS */
    __u32 groups;   /* at most GROUPS_MAX */
};

/*
 * Prepares the shared memory, which no classifier uses yet: fixed slots go into the table, dynamic
 * slots onto the ring. `shared` must be zero. It remains the caller's and must outlive *out.
 * -ENOMEM; -EINVAL: the layout is out of range.
 */
int slots_new(struct slots **out, struct pb_shared *shared, struct slots_layout layout);
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
size_t slots_saved_size(struct slots_layout layout);
void slots_save(const struct slots *slots, void *to);
size_t tally_saved_size(struct slots_layout layout);
void tally_save(const struct tally *tally, void *to);

/*
 * Whether slots_restore can work with what it finds in `from` and in the shared memory: no index is
 * out of range, and no slot is in two places. False: one of them is damaged.
 */
bool slots_saved_is_valid(const struct pb_shared *shared, struct slots_layout layout,
                          const void *from);

/*
 * As slots_new, but continues with memory in use. `from` is valid, see above, and was saved by a
 * process that may have run on after that and was killed at any point; `layout` is the one it had,
 * and so are the groups. No
 * port is folded until slots_fold is called. The classifier may be running. Before slots_recycle is
 * called for the first time, every interface whose counters that process left must have its tally,
 * or must not be counted on any more.
 */
int slots_restore(struct slots **out, struct pb_shared *shared, struct slots_layout layout,
                  const void *from);

/* Whether no index in `from` is out of range. */
bool tally_saved_is_valid(struct slots_layout layout, const void *from);

/* As tally_new, but for counters in use. `from` is valid, see above. -ENOMEM. */
int tally_restore(struct tally **out, const struct slots *slots, const void *from);

/* The number of slots of all kinds, slot 0 included. */
__u32 slots_total(struct slots_layout layout);

/*
 * These ports of every transport count in its "ephemeral" slot from now on, and no others. Ports
 * with a reserved slot, a group's, or passed to slots_listen are not concerned. To be called first
 * after slots_new and slots_restore.
 */
void slots_fold(struct slots *slots, const struct port_set *ports);

/*
 * The port counts in the slot of a group (below layout.groups) to the end. To be called before the
 * first packet is counted, or after slots_restore as before.
 */
void slots_group(struct slots *slots, __u32 key, __u32 group);

/*
 * Gives a port a reserved slot, which it has until slots_pick_victims finds it neither kept nor
 * listening. A dynamic slot that it had is unlinked. True also if the port has one already; false:
 * none is left. key: below PB_PORT_KEYS. Not between slots_save and slots_pick_victims, which could
 * unlink the slot before its owner is in a saved state.
 */
bool slots_reserve(struct slots *slots, __u32 key);

/*
 * The port has a listening socket; to be called in each read before slots_unlink, or when sockets
 * may be reached that could not be before. It gets a reserved slot while there are enough for all.
 * When there are not, idle sockets, however many, keep none from others, and cost nothing in later
 * reads: a port that slots_keep spares (it is a series, so it has carried something) takes the slot
 * of one that isn't and counts nothing; and an eighth of the slots is kept free for ports that
 * begin to listen, at the cost of idle ones. Where junk leaves none idle, those that count no more
 * than their mean are as good as idle. A port that gets none is not folded, and the classifier
 * allocates it a dynamic slot like any other. Without dynamic slots it counts in "other" then, and
 * each port gets a slot for some reads after it began to listen. key: as above.
 */
void slots_listen(struct slots *slots, __u32 key);

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
 * key: the port that owns the slot, or its GROUP_KEY. One port may have several slots in the same
 * read.
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
 * series is, in bytes; they are added up. SLOTS_BUSY_MAX: it is ended after all others.
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
 * counted no more than their mean, or a port scan would hold all slots. Unlinks at once the
 * reserved slots that are neither kept nor listening, busy or not, and those that slots_listen says
 * others take. Then forgets what was kept and what listens.
 */
void slots_pick_victims(struct slots *slots);

#endif
