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
#include <sched.h>
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

/* ---- what is found is checked ---- */

/* Of all slots that there can be. */
struct slot_set {
    __u64 word[(PB_DYNAMIC_END + PB_PORT_KEYS + GROUPS_MAX) / 64 + 1];
};

/* False: it was in there. */
static bool add_once(struct slot_set *set, __u32 slot) {
    __u64 bit = 1ull << slot % 64, *word = &set->word[slot / 64];

    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}

/* The entries of the keys that have a port; the others never change. owned: empty. */
static bool table_is_valid(const struct pb_shared *shared, struct slots_layout layout,
                           struct slot_set *owned) {
    __u32 dynamic_end = PB_FIXED_SLOTS + layout.dynamic, end = slots_total(layout);

    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 slot = load_acquire(&shared->table[key]);

        if (slot < PB_FIXED_SLOTS)
            continue;
        if (slot >= end || (slot < dynamic_end && load_acquire(&shared->key_of[slot]) != key) ||
            (slot < dynamic_end + layout.reserved && !add_once(owned, slot)))
            return false;
    }
    for (__u32 slot = PB_FIXED_SLOTS; slot < dynamic_end; slot++)
        if (load_acquire(&shared->key_of[slot]) >= PB_PORT_KEYS)
            return false;
    return true;
}

/* The classifier is about to: it clears a cell only after it has written the table. */
static bool is_cleared(const __u32 *cell, __u32 slot) {
    for (int n = 0; n < 1000; n++) {
        if (load_acquire(cell) != slot)
            return true;
        sched_yield();
    }
    return false;
}

/* Head may have passed tail by one, see complete_push. owned: as the table said before. */
static bool ring_is_valid(const struct pb_shared *shared, struct slots_layout layout,
                          struct slot_set *owned) {
    __u64 head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE), tail = shared->tail;

    if (tail + 1 - head > PB_RING + 1)
        return false;
    for (__u32 i = 0; i < PB_RING; i++) {
        __u32 slot = load_acquire(&shared->ring[i]);

        if (slot && (slot < PB_FIXED_SLOTS || slot >= PB_FIXED_SLOTS + layout.dynamic ||
                     (!add_once(owned, slot) && !is_cleared(&shared->ring[i], slot))))
            return false;
    }
    return true;
}

/* Any other value makes a bool undefined. */
static bool flag_is_valid(const bool *flag) {
    __u8 byte;

    memcpy(&byte, flag, sizeof(byte));
    return byte <= 1;
}

static bool slot_is_valid(const struct slot *slot, bool dynamic) {
    bool no_key = slot->key == NO_KEY && (dynamic || slot->state == FREE);

    if (!flag_is_valid(&slot->kept) || !flag_is_valid(&slot->listening) ||
        !flag_is_valid(&slot->on_ring) || (slot->key >= PB_PORT_KEYS && !no_key))
        return false;
    switch (slot->state) {
    case LIVE:
    case VICTIM:
        return dynamic;
    case RESERVED:
    case FREE:
        return !dynamic;
    case UNLINKED:
    case QUIESCENT:
        return true;
    default:
        return false;
    }
}

bool slots_saved_is_valid(const struct pb_shared *shared, struct slots_layout layout,
                          const void *from) {
    const struct saved *saved = from;
    __u32 dynamic_end = PB_FIXED_SLOTS + layout.dynamic;
    struct slot_set owned = {0}; /* or on the ring */

    if (saved->used_end < dynamic_end || saved->used_end > dynamic_end + layout.reserved)
        return false;
    for (__u32 s = PB_FIXED_SLOTS; s < saved->used_end; s++)
        if (!slot_is_valid(&saved->slot[s], s < dynamic_end))
            return false;
    return table_is_valid(shared, layout, &owned) && ring_is_valid(shared, layout, &owned);
}

/* ---- restoring ---- */

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
    memcpy(&slots->slot[PB_FIXED_SLOTS], &saved->slot[PB_FIXED_SLOTS],
           (slots->used_end - PB_FIXED_SLOTS) * sizeof(saved->slot[0]));
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
