/* SPDX-License-Identifier: MIT */
/*
 * The state of slots in memory that outlives the process. The shared memory is the authority on
 * where a slot is; the saved state supplies what is not in there: the counters that are accounted
 * already, and the owners of unlinked slots.
 */
#include <string.h>

#include "slots_private.h"

struct saved {
    __u32 used_end;
    __u32 fold_first, fold_last;
    struct slot slot[];
};

size_t slots_saved_size(__u32 dynamic, __u32 reserved) {
    return sizeof(struct saved) + slots_total(dynamic, reserved) * sizeof(struct slot);
}

void slots_save(const struct slots *slots, void *to) {
    struct saved *saved = to;

    saved->used_end = slots->used_end;
    saved->fold_first = slots->fold_first;
    saved->fold_last = slots->fold_last;
    memcpy(saved->slot, slots->slot, slots->used_end * sizeof(slots->slot[0]));
}

/* A new owner starts at 0 bytes; what it has counted already is in the next delta. */
static void set_owner(struct slot *slot, __u32 key, enum slot_state state) {
    if (slot->key != key)
        slot->bytes = 0;
    slot->key = key;
    slot->state = state;
    slot->unlinked_at = 0;
}

/*
 * slots_recycle fills the cell at tail, then advances tail. If the process was killed in between,
 * the cell is full, or the classifier has popped it already and head has passed tail.
 */
static void complete_push(struct pb_shared *shared) {
    __u64 tail = shared->tail;

    if ((load_acquire(&shared->ring[tail & (PB_RING - 1)]) &&
         tail - __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) < PB_RING) ||
        __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) > tail)
        __atomic_store_n(&shared->tail, tail + 1, __ATOMIC_RELEASE);
}

/*
 * A dynamic slot is on the ring, or in the table under the key that it was last allocated to, or
 * else it was unlinked. The ring is searched first: the classifier clears a cell only after it has
 * written the table, so a slot that it allocates meanwhile is found in one of the two.
 */
static void restore_dynamic(struct slots *slots) {
    struct pb_shared *shared = slots->shared;

    complete_push(shared);
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++)
        slots->slot[s].state = UNLINKED;
    for (__u64 position = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE); position < shared->tail;
         position++) {
        __u32 s = load_acquire(&shared->ring[position & (PB_RING - 1)]);

        if (s >= PB_FIXED_SLOTS && s < slots->dynamic_end)
            set_owner(&slots->slot[s], NO_KEY, LIVE);
    }
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        __u32 key = load_acquire(&shared->key_of[s]);

        if (slots->slot[s].state == UNLINKED && key < PB_PORT_KEYS)
            set_owner(&slots->slot[s], key,
                      load_acquire(&shared->table[key]) == s ? LIVE : UNLINKED);
    }
}

/*
 * A reserved slot is in the table, or else it was unlinked. Entries without a slot of their own get
 * their default, in case slots_fold was interrupted.
 */
static void restore_reserved(struct slots *slots) {
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++)
        if (slots->slot[s].state != FREE)
            set_owner(&slots->slot[s], slots->slot[s].key, UNLINKED);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 *entry = &slots->shared->table[key];
        __u32 s = load_acquire(entry);

        if (s >= slots->dynamic_end && s < slots->end) {
            set_owner(&slots->slot[s], key, RESERVED);
            if (slots->used_end <= s)
                slots->used_end = s + 1;
        } else if (s < PB_FIXED_SLOTS && s != default_slot(slots, key)) {
            __atomic_compare_exchange_n(entry, &s, default_slot(slots, key), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
    }
}

int slots_restore(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved,
                  const void *from) {
    const struct saved *saved = from;
    struct slots *slots;
    int error = slots_create(&slots, shared, dynamic, reserved);

    if (error)
        return error;
    slots->used_end = saved->used_end;
    slots->fold_first = saved->fold_first;
    slots->fold_last = saved->fold_last;
    memcpy(slots->slot, saved->slot, saved->used_end * sizeof(saved->slot[0]));
    restore_dynamic(slots);
    restore_reserved(slots);
    *out = slots;
    return 0;
}
