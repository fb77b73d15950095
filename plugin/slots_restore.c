/* SPDX-License-Identifier: MIT */
/*
 * The state of slots in memory that outlives the process. The shared memory is the authority on
 * where a slot is; the saved state supplies what is not in there: the owners of unlinked slots, and
 * the generations, by which tallies know what they have accounted to whom.
 *
 * A kill may come between two of the saves of a read. The tallies saved before it have accounted
 * what the others account next, all to the same owners: until the slots are saved, no slot is
 * recycled, so an owner that a tally was saved with is the owner that is found here.
 */
#include <string.h>

#include "slots_private.h"

struct saved {
    __u64 used_end;
    struct slot slot[];
};

size_t slots_saved_size(struct slots_layout layout) {
    return sizeof(struct saved) + slots_total(layout) * sizeof(struct slot);
}

void slots_save(const struct slots *slots, void *to) {
    struct saved *saved = to;

    saved->used_end = slots->used_end;
    memcpy(saved->slot, slots->slot, slots->used_end * sizeof(slots->slot[0]));
}

/*
 * The generation rises if the previous process may have recycled the slot after it saved it, as it
 * did there: a tally may be saved with it. If the slot is unlinked as it was then, its tallies
 * begin again at 0 bytes, which matters no more.
 */
static void set_owner(struct slot *slot, __u32 key, enum slot_state state) {
    if (slot->state == UNLINKED || slot->state == QUIESCENT) {
        slot->generation++;
        slot->bytes = 0;
    }
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

    if (load_acquire(&shared->ring[tail & (PB_RING - 1)]) ||
        __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) > tail)
        __atomic_store_n(&shared->tail, tail + 1, __ATOMIC_RELEASE);
}

/*
 * A dynamic slot is on the ring, or in the table under the key that it was last allocated to, or
 * else it was unlinked. The ring is searched first, see slots_find_on_ring.
 */
static void restore_dynamic(struct slots *slots) {
    const struct pb_shared *shared = slots->shared;

    complete_push(slots->shared);
    slots_find_on_ring(slots);
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u32 key = load_acquire(&shared->key_of[s]);

        if (slot->on_ring)
            set_owner(slot, NO_KEY, LIVE);
        else if (load_acquire(&shared->table[key]) == s)
            set_owner(slot, key, LIVE);
        else
            set_owner(slot, key, UNLINKED);
    }
}

/* A reserved slot is in the table, or else it was unlinked. */
static void restore_reserved(struct slots *slots) {
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state != FREE && load_acquire(&slots->shared->table[slot->key]) != s) {
            slot->state = UNLINKED;
            slot->unlinked_at = 0;
        }
    }
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 s = load_acquire(&slots->shared->table[key]);

        if (s >= slots->dynamic_end && s < slots->reserved_end) {
            set_owner(&slots->slot[s], key, RESERVED);
            if (slots->used_end <= s)
                slots->used_end = s + 1;
        }
    }
    slots->free = 0;
    for (__u32 s = slots->dynamic_end; s < slots->reserved_end; s++)
        slots->free += slots->slot[s].state == FREE;
}

int slots_restore(struct slots **out, struct pb_shared *shared, struct slots_layout layout,
                  const void *from) {
    const struct saved *saved = from;
    struct slots *slots;
    int error = slots_create(&slots, shared, layout);

    if (error)
        return error;
    slots->used_end = (__u32)saved->used_end;
    memcpy(slots->slot, saved->slot, saved->used_end * sizeof(saved->slot[0]));
    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        slots->slot[s].kept = false;
        slots->slot[s].listening = false;
        slots->slot[s].busy = 0;
    }
    restore_dynamic(slots);
    restore_reserved(slots);
    *out = slots;
    return 0;
}
