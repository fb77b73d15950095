/* SPDX-License-Identifier: MIT */
/* What one interface has counted in the slots. */
#include <errno.h>
#include <string.h>

#include "pages.h"
#include "slots_private.h"

/* Since the owner got the slot; 0 if the slot's generation is another one. */
struct held {
    __u64 bytes; /* rx + tx */
    __u32 generation;
};

/*
 * There may be a thousand of these, and most interfaces count in few of the slots: what is never
 * written takes no memory.
 */
struct tally {
    size_t size; /* of the tally, in bytes */
    __u32 slots; /* their number */
    __u32 used_number;
    __u32 *used;              /* those that ever counted anything */
    struct pb_counters *last; /* by slot: the counters when they were last accounted */
    struct held *held;        /* by slot; of fixed ones unused */
};

/* Saved by slots_save's counterpart for tallies, one for each used slot. */
struct saved_slot {
    struct pb_counters last;
    __u64 held_bytes;
    __u32 generation;
    __u32 slot;
};

struct saved {
    __u64 number;
    struct saved_slot slot[];
};

int tally_new(struct tally **out, const struct slots *slots) {
    size_t last = sizeof(struct tally);
    size_t held = last + slots->end * sizeof(struct pb_counters);
    size_t used = held + slots->end * sizeof(struct held);
    size_t size = used + slots->end * sizeof(__u32);
    struct tally *tally = pages_new(size);

    if (!tally)
        return -ENOMEM;
    tally->size = size;
    tally->slots = slots->end;
    tally->last = (struct pb_counters *)((char *)tally + last);
    tally->held = (struct held *)((char *)tally + held);
    tally->used = (__u32 *)((char *)tally + used);
    *out = tally;
    return 0;
}

void tally_free(struct tally *tally) {
    if (tally)
        pages_free(tally, tally->size);
}

static bool is_zero(const struct pb_counters *counters) {
    return !(counters->rx_bytes | counters->rx_packets | counters->tx_bytes | counters->tx_packets);
}

static void set_last(struct tally *tally, __u32 s, const struct pb_counters *counters) {
    if (is_zero(&tally->last[s]) && tally->used_number < tally->slots)
        tally->used[tally->used_number++] = s;
    tally->last[s] = *counters;
}

/* Adds bytes to a slot's owner, all interfaces' and this one's: the latter's sum. */
static __u64 add_bytes(struct slot *slot, struct held *held, __u64 bytes) {
    slot->delta_bytes += bytes;
    slot->bytes += bytes;
    if (held->generation != slot->generation)
        *held = (struct held){.generation = slot->generation};
    held->bytes += bytes;
    return held->bytes;
}

void slots_account(struct slots *slots, struct tally *tally, const struct pb_counters *counters,
                   slots_account_fn *account, void *context) {
    for (__u32 i = 0; i < slots->listed; i++) {
        __u32 s = slots->list[i];
        const struct pb_counters *now = &counters[s], *last = &tally->last[s];
        struct pb_counters delta = {
            .rx_bytes = now->rx_bytes - last->rx_bytes,
            .rx_packets = now->rx_packets - last->rx_packets,
            .tx_bytes = now->tx_bytes - last->tx_bytes,
            .tx_packets = now->tx_packets - last->tx_packets,
        };
        struct slot *slot = &slots->slot[s];

        /* A packet's bytes and its packet count may be seen one read apart. */
        if (is_zero(&delta))
            continue;
        set_last(tally, s, now);
        if (s < PB_FIXED_SLOTS) {
            account(context, s, NO_KEY, 0, &delta);
            continue;
        }
        /* It counted, so it was in the table, and key_of was written before that. */
        if (slot->key == NO_KEY)
            slot->key = load_acquire(&slots->shared->key_of[s]);
        account(context, s, slot->key,
                add_bytes(slot, &tally->held[s], delta.rx_bytes + delta.tx_bytes), &delta);
    }
}

/* ---- in memory that outlives the process ---- */

size_t tally_saved_size(struct slots_layout layout) {
    return sizeof(struct saved) + slots_total(layout) * sizeof(struct saved_slot);
}

void tally_save(const struct tally *tally, void *to) {
    struct saved *saved = to;

    saved->number = tally->used_number;
    for (__u32 i = 0; i < tally->used_number; i++) {
        __u32 s = tally->used[i];

        saved->slot[i] = (struct saved_slot){.last = tally->last[s],
                                             .held_bytes = tally->held[s].bytes,
                                             .generation = tally->held[s].generation,
                                             .slot = s};
    }
}

bool tally_saved_is_valid(struct slots_layout layout, const void *from) {
    const struct saved *saved = from;
    __u32 end = slots_total(layout);

    if (saved->number > end)
        return false;
    for (__u64 i = 0; i < saved->number; i++)
        if (saved->slot[i].slot == 0 || saved->slot[i].slot >= end)
            return false;
    return true;
}

int tally_restore(struct tally **out, const struct slots *slots, const void *from) {
    const struct saved *saved = from;
    struct tally *tally;
    int error = tally_new(&tally, slots);

    if (error)
        return error;
    for (const struct saved_slot *slot = saved->slot; slot < saved->slot + saved->number; slot++) {
        set_last(tally, slot->slot, &slot->last);
        tally->held[slot->slot] =
            (struct held){.bytes = slot->held_bytes, .generation = slot->generation};
    }
    *out = tally;
    return 0;
}
