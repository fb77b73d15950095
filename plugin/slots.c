/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum state {
    LIVE,      /* dynamic: on the ring or in the table, only the classifier knows which */
    CHOSEN,    /* as live; to be withdrawn at the next read */
    GRANTED,   /* in the table, by slots_reserve */
    WITHDRAWN, /* out of the table, maybe still held by a CPU */
    PASSED,    /* withdrawn, and no CPU holds it any more */
    COUNTED,   /* passed, and its counters were read after that */
    SPARE,     /* not dynamic: free for slots_reserve */
};

#define NO_KEY PB_KEYS

struct slot {
    struct pb_counters last; /* the counters at the last read */
    __u64 held;              /* bytes since `key` took the slot */
    __u64 moved;             /* bytes in the last interval */
    __u64 withdrawn_at;      /* monotonic ns */
    __u32 key;               /* owner as of the last read, or when withdrawn; NO_KEY: none seen */
    enum state state;
};

struct slots {
    struct pb_shared *shared;
    __u32 dynamic_end; /* behind the last dynamic slot, where those for slots_reserve begin */
    __u32 used_end;    /* behind the last slot that ever was in the table */
    __u32 end;
    __u32 fold_first, fold_last; /* ports; first > last: none */
    struct slot slot[];
};

/* The other side of these is the classifier: every access is one access. */
static __u32 load(const __u32 *place) {
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

__u32 slots_total(__u32 dynamic, __u32 granted) {
    return PB_FIXED_SLOTS + dynamic + granted;
}

/* Without a word to the classifier: all dynamic slots free, none granted. */
static int make(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 granted) {
    __u32 end = slots_total(dynamic, granted);
    struct slots *slots;

    if (dynamic > PB_DYNAMIC_MAX || granted > PB_PORT_KEYS)
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
        slots->slot[s].state = s < slots->dynamic_end ? LIVE : SPARE;
    }
    *out = slots;
    return 0;
}

int slots_new(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 granted) {
    int error = make(out, shared, dynamic, granted);

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

/* Makes `to` the answer for key. A slot that stood there is withdrawn. */
static void assign(struct slots *slots, __u32 key, __u32 to) {
    __u32 was = __atomic_exchange_n(&slots->shared->table[key], to, __ATOMIC_SEQ_CST);

    if (was >= PB_FIXED_SLOTS && was < slots->end && was != to) {
        slots->slot[was].key = key;
        slots->slot[was].state = WITHDRAWN;
        slots->slot[was].withdrawn_at = 0; /* dated by the next slots_unlink */
    }
}

/* What stands in the table for a key that policy has nothing to say about. */
static __u32 home(const struct slots *slots, __u32 key) {
    __u32 port = key % PB_PORTS;

    return port >= slots->fold_first && port <= slots->fold_last ? PB_SLOT_EPHEMERAL(key / PB_PORTS)
                                                                 : 0;
}

void slots_fold(struct slots *slots, __u32 first, __u32 last) {
    struct slots before = {.fold_first = slots->fold_first, .fold_last = slots->fold_last};

    slots->fold_first = first;
    slots->fold_last = last;
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 to = home(slots, key);

        if (to != home(&before, key) && load(&slots->shared->table[key]) < slots->dynamic_end)
            assign(slots, key, to);
    }
}

bool slots_reserve(struct slots *slots, __u32 key) {
    if (load(&slots->shared->table[key]) >= slots->dynamic_end)
        return true;
    for (__u32 s = slots->dynamic_end; s < slots->end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state != SPARE)
            continue;
        slot->state = GRANTED;
        slot->key = key;
        slot->held = 0;
        if (slots->used_end <= s)
            slots->used_end = s + 1;
        assign(slots, key, s);
        return true;
    }
    return false;
}

__u32 slots_unlink(struct slots *slots, __u64 now) {
    __u32 waiting = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == CHOSEN) {
            __u32 expected = s;

            slot->state = LIVE;
            if (__atomic_compare_exchange_n(&slots->shared->table[slot->key], &expected, 0, false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                slot->state = WITHDRAWN;
                slot->withdrawn_at = 0;
            }
        }
        if (slot->state == WITHDRAWN) {
            if (slot->withdrawn_at == 0)
                slot->withdrawn_at = now;
            waiting++;
        }
    }
    return waiting;
}

void slots_quiesce(struct slots *slots, __u64 until) {
    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == WITHDRAWN && slot->withdrawn_at != 0 && slot->withdrawn_at <= until)
            slot->state = PASSED;
    }
}

void slots_account(struct slots *slots, const struct pb_counters *counters, slots_account_fn *book,
                   void *context) {
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
        slot->moved = delta.rx_bytes + delta.tx_bytes;
        if (slot->state == PASSED)
            slot->state = COUNTED;
        /* A packet's bytes and its count may be seen one read apart: either says something. */
        if (!slot->moved && !delta.rx_packets && !delta.tx_packets)
            continue;
        if (s >= PB_FIXED_SLOTS && slot->state <= CHOSEN) {
            /* It counted, so it was published, so key_of says by whom. */
            __u32 key = load(&slots->shared->key_of[s]);

            if (key != slot->key) {
                slot->key = key;
                slot->held = 0;
            }
        }
        slot->held += slot->moved;
        book(context, s, slot->key, slot->held, &delta);
    }
}

void slots_recycle(struct slots *slots) {
    struct pb_shared *shared = slots->shared;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u64 tail = shared->tail; /* ours alone to write */
        __u32 *cell = &shared->ring[tail & (PB_RING - 1)];

        if (slot->state != COUNTED)
            continue;
        if (s >= slots->dynamic_end) {
            slot->state = SPARE;
        } else if (load(cell) == 0) {
            slot->state = LIVE;
            __atomic_store_n(cell, s, __ATOMIC_RELEASE);
            __atomic_store_n(&shared->tail, tail + 1, __ATOMIC_RELEASE);
        } else {
            continue;
        }
        slot->key = NO_KEY;
        slot->held = 0;
    }
}

/* Whether a live dynamic slot is in the table under the key it had at the last read. */
static bool settled(const struct slots *slots, __u32 s) {
    const struct slot *slot = &slots->slot[s];

    return slot->state == LIVE && slot->key != NO_KEY &&
           load(&slots->shared->table[slot->key]) == s;
}

void slots_pick_victims(struct slots *slots, bool (*keep)(void *context, __u32 key),
                        void *context) {
    const struct pb_shared *shared = slots->shared;
    __u64 held = 0;
    __u32 busy = 0;

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];
        __u32 key = load(&shared->key_of[s]);

        if (slot->state == LIVE && slot->key != key && load(&shared->table[key]) == s) {
            slot->key = key; /* taken since the counters were read: not idle yet */
            slot->held = 0;
        } else if (settled(slots, s) && !keep(context, slot->key)) {
            if (slot->moved == 0) {
                slot->state = CHOSEN;
            } else {
                held += slot->held;
                busy++;
            }
        }
    }
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (slot->state == GRANTED && !keep(context, slot->key))
            assign(slots, slot->key, home(slots, slot->key));
    }

    if (!busy || __atomic_load_n(&shared->head, __ATOMIC_RELAXED) < shared->tail)
        return;
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        struct slot *slot = &slots->slot[s];

        if (settled(slots, s) && slot->moved && slot->held <= held / busy &&
            !keep(context, slot->key))
            slot->state = CHOSEN;
    }
}

/* ---- for another process ---- */

struct saved {
    __u32 used_end;
    __u32 fold_first, fold_last;
    struct slot slot[];
};

size_t slots_saved_size(__u32 dynamic, __u32 granted) {
    return sizeof(struct saved) + slots_total(dynamic, granted) * sizeof(struct slot);
}

void slots_save(const struct slots *slots, void *to) {
    struct saved *saved = to;

    saved->used_end = slots->used_end;
    saved->fold_first = slots->fold_first;
    saved->fold_last = slots->fold_last;
    memcpy(saved->slot, slots->slot, slots->used_end * sizeof(slots->slot[0]));
}

/* The slot has an owner, whose traffic since then it may hold already. */
static void own(struct slot *slot, __u32 key, enum state state) {
    if (slot->key != key)
        slot->held = 0;
    slot->key = key;
    slot->state = state;
    slot->withdrawn_at = 0;
}

/*
 * Where each dynamic slot is. The memory says that: on the ring, or in the table under the
 * key that took it last, or else withdrawn by the process that ended. The ring first: the
 * classifier empties a cell only after it has written the table.
 */
static void find_dynamic(struct slots *slots) {
    struct pb_shared *shared = slots->shared;
    __u64 tail = shared->tail;

    /* A slot that slots_recycle had put behind the tail, and maybe the classifier took it. */
    if ((load(&shared->ring[tail & (PB_RING - 1)]) &&
         tail - __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) < PB_RING) ||
        __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) > tail)
        __atomic_store_n(&shared->tail, ++tail, __ATOMIC_RELEASE);

    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++)
        slots->slot[s].state = WITHDRAWN;
    for (__u64 place = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE); place < tail; place++) {
        __u32 s = load(&shared->ring[place & (PB_RING - 1)]);

        if (s >= PB_FIXED_SLOTS && s < slots->dynamic_end)
            own(&slots->slot[s], NO_KEY, LIVE);
    }
    for (__u32 s = PB_FIXED_SLOTS; s < slots->dynamic_end; s++) {
        __u32 key = load(&shared->key_of[s]);

        if (slots->slot[s].state == WITHDRAWN && key < PB_PORT_KEYS)
            own(&slots->slot[s], key, load(&shared->table[key]) == s ? LIVE : WITHDRAWN);
    }
}

/* The others: the table has them, or they were withdrawn. And a slots_fold is finished. */
static void find_granted(struct slots *slots) {
    for (__u32 s = slots->dynamic_end; s < slots->used_end; s++)
        if (slots->slot[s].state != SPARE)
            own(&slots->slot[s], slots->slot[s].key, WITHDRAWN);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        __u32 *entry = &slots->shared->table[key];
        __u32 s = load(entry);

        if (s >= slots->dynamic_end && s < slots->end) {
            own(&slots->slot[s], key, GRANTED);
            if (slots->used_end <= s)
                slots->used_end = s + 1;
        } else if (s < PB_FIXED_SLOTS && s != home(slots, key)) {
            __atomic_compare_exchange_n(entry, &s, home(slots, key), false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST);
        }
    }
}

int slots_restore(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 granted,
                  const void *from) {
    const struct saved *saved = from;
    int error = make(out, shared, dynamic, granted);

    if (error)
        return error;
    (*out)->used_end = saved->used_end;
    (*out)->fold_first = saved->fold_first;
    (*out)->fold_last = saved->fold_last;
    memcpy((*out)->slot, saved->slot, saved->used_end * sizeof(saved->slot[0]));
    find_dynamic(*out);
    find_granted(*out);
    return 0;
}
