/* SPDX-License-Identifier: MIT */
/* What slots.c and slots_restore.c share; no other file includes it. */
#ifndef PB_SLOTS_PRIVATE_H
#define PB_SLOTS_PRIVATE_H

#include "slots.h"

/*
 * A dynamic slot: LIVE, VICTIM, UNLINKED, QUIESCENT, DRAINED, then LIVE again.
 * A slot for slots_reserve: FREE, RESERVED, UNLINKED, QUIESCENT, DRAINED, then FREE again.
 */
enum slot_state {
    LIVE,      /* on the ring or in the table; only the classifier knows which */
    VICTIM,    /* as LIVE, and the next slots_unlink removes it from the table */
    RESERVED,  /* in the table, put there by slots_reserve */
    UNLINKED,  /* not in the table; a CPU that looked it up before may still count in it */
    QUIESCENT, /* unlinked, and no CPU counts in it any more */
    DRAINED,   /* quiescent, and its counters were read after that */
    FREE,      /* available to slots_reserve */
};

#define NO_KEY PB_KEYS

/* Saved as it is: a change of struct or enum is one of the saved format. */
struct slot {
    struct pb_counters last; /* the counters at the last read */
    __u64 bytes;             /* rx + tx since `key` got the slot */
    __u64 delta_bytes;       /* rx + tx between the last two reads */
    __u64 unlinked_at;       /* monotonic ns; 0: since the last slots_unlink */
    __u32 key;               /* the owner at the last read, or when unlinked; NO_KEY: none known */
    enum slot_state state;
};

struct slots {
    struct pb_shared *shared;
    __u32 dynamic_end; /* dynamic slots end and those for slots_reserve begin here */
    __u32 used_end;    /* slots from here on were never in the table */
    __u32 end;
    __u32 fold_first, fold_last; /* ports; first > last: none */
    struct slot slot[];
};

/* The classifier writes these words concurrently. */
static inline __u32 load_acquire(const __u32 *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* The table entry of a port that has no slot of its own: "ephemeral", or 0. */
static inline __u32 default_slot(const struct slots *slots, __u32 key) {
    __u32 port = key % PB_PORTS;

    return port >= slots->fold_first && port <= slots->fold_last ? PB_SLOT_EPHEMERAL(key / PB_PORTS)
                                                                 : 0;
}

/* As slots_new, but leaves the shared memory as it is. All dynamic slots are LIVE, others FREE. */
int slots_create(struct slots **out, struct pb_shared *shared, __u32 dynamic, __u32 reserved);

#endif
