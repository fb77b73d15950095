/* SPDX-License-Identifier: MIT */
/* What slots.c, slots_restore.c and tally.c share; no other file includes it. */
#ifndef PB_SLOTS_PRIVATE_H
#define PB_SLOTS_PRIVATE_H

#include "slots.h"

/*
 * A dynamic slot: LIVE, VICTIM, UNLINKED, QUIESCENT, then LIVE again.
 * A slot for slots_reserve: FREE, RESERVED, UNLINKED, QUIESCENT, then FREE again.
 */
enum slot_state {
    LIVE,      /* on the ring or in the table; only the classifier knows which */
    VICTIM,    /* as LIVE, and the next slots_unlink removes it from the table */
    RESERVED,  /* in the table, put there by slots_reserve */
    UNLINKED,  /* not in the table; a CPU that looked it up before may still count in it */
    QUIESCENT, /* unlinked, and no CPU counts in it any more */
    FREE,      /* available to slots_reserve */
};

#define NO_KEY PB_KEYS

/* Saved as it is: a change of struct or enum is one of the saved format. */
struct slot {
    __u64 bytes;       /* rx + tx on all interfaces since `key` got the slot */
    __u64 delta_bytes; /* of these, what was accounted since the last slots_pick_victims */
    __u64 unlinked_at; /* monotonic ns; 0: since the last slots_unlink */
    __u64 busy;        /* the sum of what slots_keep said; SLOTS_BUSY_MAX is the largest */
    /*
     * The owner; NO_KEY: none is known yet. While the slot is LIVE, the classifier may turn nobody
     * into somebody at any time, and nothing else.
     */
    __u32 key;
    __u32 generation; /* rises when the slot is recycled: a tally's bytes of another are void */
    enum slot_state state;
    bool kept;    /* by slots_keep, since the last slots_pick_victims */
    bool on_ring; /* as slots_find_on_ring found it */
};

/* For sorting slots by how busy they are. */
struct rank {
    __u64 busy;
    __u32 slot;
};

struct slots {
    struct pb_shared *shared;
    __u32 dynamic_end; /* dynamic slots end and those for slots_reserve begin here */
    __u32 used_end;    /* slots from here on were never in the table */
    __u32 end;
    __u32 fold_first, fold_last; /* ports; first > last: none */
    __u32 *list;                 /* the last slots_list; room for all */
    __u32 listed;                /* its length */
    struct rank *ranks;          /* work space with room for the dynamic slots */
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

/*
 * Sets on_ring of all dynamic slots. The classifier may allocate some of them meanwhile. It clears
 * a cell only after it has written the table: a slot that is not found is in the table already, if
 * the classifier has it, and one that is found may be there as well.
 */
void slots_find_on_ring(struct slots *slots);

#endif
