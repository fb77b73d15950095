/* SPDX-License-Identifier: MIT */
/* Who has the reserved slots. */
#include "slots_private.h"

/*
 * For so many reads a port that begins to listen among many that do in vain has its slot in any
 * case: it may carry nothing yet, and with junk to every port be the only one that is idle.
 */
#define FRESH_READS 4

/* At most so many reserved slots pass from idle ports to others in one read. */
static __u32 turnover_max(const struct slots *slots) {
    __u32 reserved = slots->reserved_end - slots->dynamic_end;

    return reserved < 8 ? 1 : reserved / 8;
}

static bool is_scarce(const struct slots *slots) {
    return slots->waited > turnover_max(slots);
}

/* Points the port's entry at the first FREE slot; there is one. */
static struct slot *take_free(struct slots *slots, __u32 key) {
    __u32 s = slots->free_from;

    while (slots->slot[s].state != FREE)
        s++;
    slots->free_from = s + 1;
    slots->slot[s].state = RESERVED;
    slots->slot[s].key = key;
    slots->slot[s].fresh = is_scarce(slots) ? FRESH_READS : 1;
    slots->free--;
    if (slots->used_end <= s)
        slots->used_end = s + 1;
    slots_set_entry(slots, key, s);
    key_set_remove(&slots->unfolded, key);
    return &slots->slot[s];
}

bool slots_reserve(struct slots *slots, __u32 key) {
    if (load_acquire(&slots->shared->table[key]) >= slots->dynamic_end)
        return true;
    if (!slots->free)
        return false;
    take_free(slots, key);
    return true;
}

/*
 * Where many ports listen in vain, so many slots are kept free for those that begin to. Few could
 * have them just as well.
 */
static __u32 spare(const struct slots *slots) {
    return is_scarce(slots) ? turnover_max(slots) : 0;
}

void slots_listen(struct slots *slots, __u32 key) {
    __u32 s = load_acquire(&slots->shared->table[key]), others = slots->claims;
    bool claims = key_set_has(&slots->claiming, key);

    if (claims)
        others = 0;
    else if (key_set_has(&slots->unfolded, key)) /* it has waited already */
        others += spare(slots);
    if (s >= slots->dynamic_end) {
        slots->slot[s].listening = true; /* to a group's it makes no difference */
    } else if (slots->free > others) {
        take_free(slots, key)->listening = true;
        if (claims) {
            key_set_remove(&slots->claiming, key);
            slots->claims--;
        }
    } else {
        key_set_add(&slots->waiting, key);
        if (s && s < PB_FIXED_SLOTS) /* folded; a listening port is not */
            slots_set_entry(slots, key, 0);
    }
}

/* ---- picking ---- */

static __u32 count(const struct key_set *set) {
    __u32 number = 0;

    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS; i++)
        number += (__u32)__builtin_popcountll(set->word[i]);
    return number;
}

static void add_claim(struct slots *slots, __u32 key) {
    slots->claims += !key_set_has(&slots->claiming, key);
    key_set_add(&slots->claiming, key);
}

/*
 * The ports that wait and have the first right to a slot that becomes free: those that had it
 * before; some that have just begun to listen (without dynamic slots all of them, as nothing else
 * would show what they carry); those that are series.
 */
static void find_claims(struct slots *slots) {
    bool no_ring = slots->dynamic_end == PB_FIXED_SLOTS;

    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS; i++)
        slots->claiming.word[i] &= slots->waiting.word[i];
    slots->claims = count(&slots->claiming);
    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS; i++) {
        __u64 begun = slots->waiting.word[i] & ~slots->unfolded.word[i];

        for (; begun && (no_ring || slots->claims < turnover_max(slots)); begun &= begun - 1)
            add_claim(slots, i * PORT_SET_BITS + (__u32)__builtin_ctzll(begun));
    }
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        const struct slot *slot = &slots->slot[s];

        if (slot->state == LIVE && slot->kept && key_set_has(&slots->waiting, slot->key))
            add_claim(slots, slot->key);
    }
}

/* The slots that are free, or will be soon. */
static __u32 available(const struct slots *slots) {
    __u32 number = slots->free;

    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++)
        number += slots->slot[s].state == UNLINKED || slots->slot[s].state == QUIESCENT;
    return number;
}

/* Whether others may take the slot. */
static bool may_be_taken(const struct slot *slot) {
    return slot->state == RESERVED && !slot->kept && !slot->fresh;
}

/* What these slots counted since the previous read, each on the average. */
static __u64 mean_delta(const struct slots *slots) {
    __u64 sum = 0, number = 0;

    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++) {
        if (may_be_taken(&slots->slot[s])) {
            sum += slots->slot[s].delta_bytes;
            number++;
        }
    }
    return number ? sum / number : 0;
}

/*
 * Takes back slots that counted at most so much since the previous read: one after the other, so
 * that each port has its slot for some reads. Returns how many.
 */
static __u32 take_back(struct slots *slots, __u32 number, __u64 delta_max) {
    __u32 used = slots->used_end - slots->dynamic_end, taken = 0;

    for (__u32 n = 0; n < used && taken < number; n++) {
        __u32 s = slots->dynamic_end + slots->turn++ % used;
        const struct slot *slot = &slots->slot[s];

        if (!may_be_taken(slot) || slot->delta_bytes > delta_max)
            continue;
        key_set_add(&slots->waiting, slot->key);
        slots_set_entry(slots, slot->key, 0);
        taken++;
    }
    return taken;
}

static void satisfy_claims(struct slots *slots) {
    __u32 wanted, soon, number;

    find_claims(slots);
    slots->waited = count(&slots->waiting);
    wanted = slots->claims + spare(slots);
    if (!wanted)
        return;
    soon = available(slots);
    number = wanted > soon ? wanted - soon : 0;
    if (number > turnover_max(slots))
        number = turnover_max(slots);
    number -= take_back(slots, number, 0);
    if (number) /* junk to every port leaves none idle */
        take_back(slots, number, mean_delta(slots));
}

/* What has become free goes to claims at once: they needn't wait for the next read. */
static void give_to_claims(struct slots *slots) {
    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS && slots->free && slots->claims; i++)
        for (__u64 word = slots->claiming.word[i]; word && slots->free; word &= word - 1)
            slots_listen(slots, i * PORT_SET_BITS + (__u32)__builtin_ctzll(word));
}

/* The next read's set of ports that aren't folded although they have no slot. */
static void update_unfolded(struct slots *slots) {
    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS; i++) {
        __u64 now = slots->waiting.word[i] | slots->stays.word[i];
        __u64 ended = slots->unfolded.word[i] & ~now;

        slots->unfolded.word[i] = now;
        slots->waiting.word[i] = slots->stays.word[i] = 0;
        for (; ended; ended &= ended - 1) {
            __u32 key = i * PORT_SET_BITS + (__u32)__builtin_ctzll(ended);
            __u32 slot = default_slot(slots, key);

            if (slot && load_acquire(&slots->shared->table[key]) < slots->dynamic_end)
                slots_set_entry(slots, key, slot);
        }
    }
}

void slots_pick_reserved(struct slots *slots) {
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++) {
        const struct slot *slot = &slots->slot[s];

        if (slot->state == RESERVED && !slot->kept && !slot->listening)
            slots_set_entry(slots, slot->key, default_slot(slots, slot->key));
    }
    satisfy_claims(slots);
    update_unfolded(slots);
    give_to_claims(slots);
}
