/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "slots_private.h"

__u32 slots_total(struct slots_layout layout) {
    return PB_FIXED_SLOTS + layout.dynamic + layout.reserved + layout.groups;
}

int slots_create(struct slots **out, struct pb_shared *shared, struct slots_layout layout) {
    __u32 end = slots_total(layout);
    struct slots *slots;

    if (layout.dynamic > PB_DYNAMIC_MAX || layout.reserved > PB_PORT_KEYS ||
        layout.groups > GROUPS_MAX)
        return -EINVAL;
    slots = calloc(1, sizeof(*slots) + end * sizeof(slots->slot[0]));
    if (!slots)
        return -ENOMEM;
    slots->list = calloc(end, sizeof(slots->list[0]));
    slots->ranks =
        calloc(layout.dynamic + 1, sizeof(slots->ranks[0])); /* calloc(0) may return NULL */
    if (!slots->list || !slots->ranks) {
        slots_free(slots);
        return -ENOMEM;
    }
    slots->shared = shared;
    slots->dynamic_end = slots->used_end = PB_FIXED_SLOTS + layout.dynamic;
    slots->reserved_end = slots->dynamic_end + layout.reserved;
    slots->end = end;
    slots->free = layout.reserved;
    slots->free_from = slots->dynamic_end;
    for (__u32 s = PB_FIXED_SLOTS; s < slots->reserved_end; s++) {
        slots->slot[s].key = NO_KEY;
        slots->slot[s].state = s < slots->dynamic_end ? LIVE : FREE;
    }
    for (__u32 group = 0; group < layout.groups; group++) {
        slots->slot[slots->reserved_end + group].key = GROUP_KEY(group);
        slots->slot[slots->reserved_end + group].state = GROUPED;
    }
    *out = slots;
    return 0;
}

int slots_new(struct slots **out, struct pb_shared *shared, struct slots_layout layout) {
    int error = slots_create(out, shared, layout);

    if (error)
        return error;
    for (__u32 protocol = 0; protocol < PB_PROTOCOLS; protocol++)
        shared->table[PB_KEY_IP(protocol)] = PB_SLOT_IP(protocol);
    shared->table[PB_KEY_NONIP] = PB_SLOT_NONIP;
    shared->table[PB_KEY_DECRYPTED] = PB_SLOT_DECRYPTED;
    for (__u32 s = 0; s < layout.dynamic; s++)
        shared->ring[s] = PB_FIXED_SLOTS + s;
    __atomic_store_n(&shared->tail, layout.dynamic, __ATOMIC_RELEASE);
    return 0;
}

void slots_free(struct slots *slots) {
    if (!slots)
        return;
    free(slots->list);
    free(slots->ranks);
    free(slots);
}

/* A port that isn't folded any more may have a dynamic slot by now, or get one at any time. */
void slots_fold(struct slots *slots, const struct port_set *ports) {
    slots->folded = *ports;
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 entry = load_acquire(&slots->shared->table[key]), slot = default_slot(slots, key);

        if (entry < slots->dynamic_end && entry != slot && (slot || entry < PB_FIXED_SLOTS))
            slots_set_entry(slots, key, slot);
    }
}

void slots_group(struct slots *slots, __u32 key, __u32 group) {
    slots_set_entry(slots, key, slots->reserved_end + group);
}

__u32 slots_unlink(struct slots *slots, __u64 now) {
    __u32 waiting = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == VICTIM) {
            __u32 expected = s;

            slot->state = LIVE;
            if (__atomic_compare_exchange_n(&slots->shared->table[slot->key], &expected, 0, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                slot->state = UNLINKED;
                slot->unlinked_at = 0;
            }
        }
        if (slot->state == UNLINKED) {
            if (slot->unlinked_at == 0)
                slot->unlinked_at = now;
            waiting++;
        }
    }
    return waiting;
}

void slots_quiesce(struct slots *slots, __u64 until) {
    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == UNLINKED && slot->unlinked_at != 0 && slot->unlinked_at <= until)
            slot->state = QUIESCENT;
    }
}

void slots_find_on_ring(struct slots *slots) {
    const struct pb_shared *shared = slots->shared;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++)
        slots->slot[s].on_ring = false;
    for (__u64 position = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE); position < shared->tail;
         position++) { /* tail is written by user space only */
        __u32 s = load_acquire(&shared->ring[position & (PB_RING - 1)]);

        if (s >= PB_FIXED_SLOTS && s < slots->dynamic_end)
            slots->slot[s].on_ring = true;
    }
}

__u32 slots_list(struct slots *slots, bool last, const __u32 **list) {
    slots->listed = 0;
    for (__u32 s = 1; s < PB_FIXED_SLOTS; s++)
        slots->list[slots->listed++] = s;
    /*
     * A slot on the ring was read on all interfaces before it was put there. If the classifier
     * allocates it now, it keeps its owner until a later read has listed it: only what is not LIVE
     * can lose it.
     */
    slots_find_on_ring(slots);
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++)
        if (last || !slots->slot[s].on_ring || slots->slot[s].state != LIVE)
            slots->list[slots->listed++] = s;
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++)
        if (slots->slot[s].state != FREE)
            slots->list[slots->listed++] = s;
    for (__u32 s = slots->reserved_end; s < slots->end; s++)
        slots->list[slots->listed++] = s;
    *list = slots->list;
    return slots->listed;
}

void slots_keep(struct slots *slots, __u32 key, __u64 busy) {
    __u32 s = load_acquire(&slots->shared->table[key]);
    struct slot *slot = &slots->slot[s];

    if (key_set_has(&slots->unfolded, key))
        key_set_add(&slots->stays, key);
    if (s < PB_FIXED_SLOTS || s >= slots->reserved_end)
        return;
    slot->key = key; /* maybe not known before: it can be allocated since the counters were read */
    slot->kept = true;
    if (__builtin_add_overflow(slot->busy, busy, &slot->busy))
        slot->busy = SLOTS_BUSY_MAX;
}

void slots_recycle(struct slots *slots) {
    struct pb_shared *shared = slots->shared;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u64 tail = shared->tail; /* written by user space only */
        __u32 *cell = &shared->ring[tail & (PB_RING - 1)];

        if (slot->state != QUIESCENT)
            continue;
        if (s >= slots->dynamic_end) {
            slot->state = FREE;
            slots->free++;
            if (slots->free_from > s)
                slots->free_from = s;
        } else if (load_acquire(cell) != 0) {
            continue; /* not popped yet: the next read tries again */
        } else {
            slot->state = LIVE;
            __atomic_store_n(cell, s, __ATOMIC_RELEASE);
            __atomic_store_n(&shared->tail, tail + 1, __ATOMIC_RELEASE);
        }
        slot->key = NO_KEY;
        slot->bytes = 0;
        slot->generation++;
    }
}

static int by_busy(const void *a, const void *b) {
    const struct rank *left = a, *right = b;

    if (left->busy != right->busy)
        return left->busy < right->busy ? -1 : 1;
    if (left->delta_bytes != right->delta_bytes) /* listening ports: they all are SLOTS_BUSY_MAX */
        return left->delta_bytes < right->delta_bytes ? -1 : 1;
    return left->slot < right->slot ? -1 : 1;
}

void slots_end_surplus(struct slots *slots, void (*end)(void *context, __u32 key), void *context) {
    __u32 limit = (slots->dynamic_end - PB_FIXED_SLOTS) * 3 / 4, kept = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        const struct slot *slot = &slots->slot[s];

        if (slot->state != LIVE || !slot->kept)
            continue;
        slots->ranks[kept++] =
            (struct rank){.busy = slot->busy, .delta_bytes = slot->delta_bytes, .slot = s};
    }
    if (kept <= limit)
        return;
    qsort(slots->ranks, kept, sizeof(slots->ranks[0]), by_busy);
    for (__u32 i = 0; i < kept - limit; i++) {
        struct slot *slot = &slots->slot[slots->ranks[i].slot];

        /* Now, while its bytes are known: with the same slot it would soon be a series again. */
        slot->state = VICTIM;
        end(context, slot->key);
    }
}

/* Whether a dynamic slot is in the table, and still under the key that is known. */
static bool is_linked(const struct slots *slots, __u32 s) {
    const struct slot *slot = &slots->slot[s];

    return slot->state == LIVE && slot->key != NO_KEY &&
           load_acquire(&slots->shared->table[slot->key]) == s;
}

/* The slots on the ring; the classifier may take some at any time. */
static __u64 free_slots(const struct slots *slots) {
    return slots->shared->tail - __atomic_load_n(&slots->shared->head, __ATOMIC_RELAXED);
}

static void pick_dynamic(struct slots *slots) {
    const struct pb_shared *shared = slots->shared;
    bool pick_idle = free_slots(slots) * 2 < slots->dynamic_end - PB_FIXED_SLOTS;
    __u64 busy_bytes = 0;
    __u32 busy = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u32 key = load_acquire(&shared->key_of[s]);

        if (slot->state == LIVE && slot->key == NO_KEY) {
            if (load_acquire(&shared->table[key]) == s)
                slot->key = key; /* allocated since the counters were read: not idle yet */
        } else if (is_linked(slots, s) && !slot->kept) {
            if (slot->delta_bytes) {
                busy_bytes += slot->bytes;
                busy++;
            } else if (pick_idle) {
                slot->state = VICTIM;
            }
        }
    }
    if (!busy || free_slots(slots))
        return;
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (is_linked(slots, s) && !slot->kept && slot->delta_bytes &&
            slot->bytes <= busy_bytes / busy)
            slot->state = VICTIM;
    }
}

void slots_pick_victims(struct slots *slots) {
    pick_dynamic(slots);
    slots_pick_reserved(slots);
    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        slots->slot[s].kept = false;
        slots->slot[s].listening = false;
        slots->slot[s].fresh -= slots->slot[s].fresh > 0;
        slots->slot[s].busy = 0;
        slots->slot[s].delta_bytes = 0;
    }
}
