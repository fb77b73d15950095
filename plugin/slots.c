/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "slots_private.h"

__u32 slots_total(__u32 dynamic, __u32 reserved) {
    return PB_FIXED_SLOTS + dynamic + reserved;
}

int slots_create(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved) {
    __u32 end = slots_total(dynamic, reserved);
    struct slots *slots;

    if (dynamic > PB_DYNAMIC_MAX || reserved > PB_PORT_KEYS)
        return -EINVAL;
    slots = calloc(1, sizeof(*slots) + end * sizeof(slots->slot[0]));
    if (!slots)
        return -ENOMEM;
    slots->shared = shared;
    slots->dynamic_end = slots->used_end = PB_FIXED_SLOTS + dynamic;
    slots->end = end;
    slots->fold_first = 1;
    slots->fold_last = 0;
    for (__u32 s = PB_FIXED_SLOTS; s < end; s++) {
        slots->slot[s].key = NO_KEY;
        slots->slot[s].state = s < slots->dynamic_end ? LIVE : FREE;
    }
    *out = slots;
    return 0;
}

int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved) {
    int error = slots_create(out, shared, dynamic, reserved);

    if (error)
        return error;
    for (__u32 protocol = 0; protocol < PB_PROTOCOLS; protocol++)
        shared->table[PB_KEY_IP(protocol)] = PB_SLOT_IP(protocol);
    shared->table[PB_KEY_NONIP] = PB_SLOT_NONIP;
    for (__u32 s = 0; s < dynamic; s++)
        shared->ring[s] = PB_FIXED_SLOTS + s;
    __atomic_store_n(&shared->tail, dynamic, __ATOMIC_RELEASE);
    return 0;
}

void slots_free(struct slots *slots) {
    free(slots);
}

__u32 slots_used(const struct slots *slots) {
    return slots->used_end;
}

/* Points the table's entry for key at `slot`, and unlinks the slot that it pointed at. */
static void set_entry(struct slots *slots, __u32 key, __u32 slot) {
    __u32 old = __atomic_exchange_n(&slots->shared->table[key], slot, __ATOMIC_SEQ_CST);

    if (old >= PB_FIXED_SLOTS && old < slots->end && old != slot) {
        slots->slot[old].key = key;
        slots->slot[old].state = UNLINKED;
        slots->slot[old].unlinked_at = 0; /* the next slots_unlink dates it */
    }
}

void slots_fold(struct slots *slots, __u32 first, __u32 last) {
    struct slots old = {.fold_first = slots->fold_first, .fold_last = slots->fold_last};

    slots->fold_first = first;
    slots->fold_last = last;
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 slot = default_slot(slots, key);

        if (slot != default_slot(&old, key) &&
            load_acquire(&slots->shared->table[key]) < slots->dynamic_end)
            set_entry(slots, key, slot);
    }
}

bool slots_reserve(struct slots *slots, __u32 key) {
    if (load_acquire(&slots->shared->table[key]) >= slots->dynamic_end)
        return true;
    for (__u32 s = slots->dynamic_end; s < slots->end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state != FREE)
            continue;
        slot->state = RESERVED;
        slot->key = key;
        slot->bytes = 0;
        if (slots->used_end <= s)
            slots->used_end = s + 1;
        set_entry(slots, key, s);
        return true;
    }
    return false;
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

void slots_account(struct slots *slots, const struct pb_counters *counters,
                   slots_account_fn *account, void *context) {
    for (__u32 s = 1; s < slots->used_end; s++) {
        const struct pb_counters *now = &counters[s];
        struct slot *slot = &slots->slot[s];
        struct pb_counters delta = {
            .rx_bytes = now->rx_bytes - slot->last.rx_bytes,
            .rx_packets = now->rx_packets - slot->last.rx_packets,
            .tx_bytes = now->tx_bytes - slot->last.tx_bytes,
            .tx_packets = now->tx_packets - slot->last.tx_packets,
        };

        slot->last = *now;
        slot->delta_bytes = delta.rx_bytes + delta.tx_bytes;
        if (slot->state == QUIESCENT)
            slot->state = DRAINED;
        /* A packet's bytes and its packet count may be seen one read apart. */
        if (!slot->delta_bytes && !delta.rx_packets && !delta.tx_packets)
            continue;
        if (s >= PB_FIXED_SLOTS && (slot->state == LIVE || slot->state == VICTIM)) {
            /* It counted, so it was in the table, and key_of was written before that. */
            __u32 key = load_acquire(&slots->shared->key_of[s]);

            if (key != slot->key) {
                slot->key = key;
                slot->bytes = 0;
            }
        }
        slot->bytes += slot->delta_bytes;
        account(context, s, slot->key, slot->bytes, &delta);
    }
}

void slots_recycle(struct slots *slots) {
    struct pb_shared *shared = slots->shared;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u64 tail = shared->tail; /* written by user space only */
        __u32 *cell = &shared->ring[tail & (PB_RING - 1)];

        if (slot->state != DRAINED)
            continue;
        if (s >= slots->dynamic_end) {
            slot->state = FREE;
        } else if (load_acquire(cell) != 0) {
            continue; /* not popped yet: the next read tries again */
        } else {
            slot->state = LIVE;
            __atomic_store_n(cell, s, __ATOMIC_RELEASE);
            __atomic_store_n(&shared->tail, tail + 1, __ATOMIC_RELEASE);
        }
        slot->key = NO_KEY;
        slot->bytes = 0;
    }
}

/* Whether a dynamic slot is in the table, and still under the key of the last read. */
static bool is_linked(const struct slots *slots, __u32 s) {
    const struct slot *slot = &slots->slot[s];

    return slot->state == LIVE && slot->key != NO_KEY &&
           load_acquire(&slots->shared->table[slot->key]) == s;
}

void slots_pick_victims(struct slots *slots, bool (*keep)(void *context, __u32 key),
                        void *context) {
    const struct pb_shared *shared = slots->shared;
    __u64 busy_bytes = 0;
    __u32 busy = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u32 key = load_acquire(&shared->key_of[s]);

        if (slot->state == LIVE && slot->key != key && load_acquire(&shared->table[key]) == s) {
            slot->key = key; /* allocated since the counters were read: not idle yet */
            slot->bytes = 0;
        } else if (is_linked(slots, s) && !keep(context, slot->key)) {
            if (slot->delta_bytes == 0) {
                slot->state = VICTIM;
            } else {
                busy_bytes += slot->bytes;
                busy++;
            }
        }
    }
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == RESERVED && !keep(context, slot->key))
            set_entry(slots, slot->key, default_slot(slots, slot->key));
    }

    if (!busy || __atomic_load_n(&shared->head, __ATOMIC_RELAXED) < shared->tail)
        return;
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (is_linked(slots, s) && slot->delta_bytes && slot->bytes <= busy_bytes / busy &&
            !keep(context, slot->key))
            slot->state = VICTIM;
    }
}
