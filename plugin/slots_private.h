/* SPDX-License-Identifier: MIT */
/* What slots.c, slots_reserve.c, slots_restore.c and tally.c share; no other file includes it. */
#ifndef PB_SLOTS_PRIVATE_H
#define PB_SLOTS_PRIVATE_H

#include "slots.h"

/*
 * A dynamic slot: LIVE, VICTIM, UNLINKED, QUIESCENT, then LIVE again.
 * A slot for slots_reserve: FREE, RESERVED, UNLINKED, QUIESCENT, then FREE again.
 * A group's: GROUPED.
 */
enum slot_state {
    LIVE,      /* on the ring or in the table; only the classifier knows which */
    VICTIM,    /* as LIVE, and the next slots_unlink removes it from the table */
    RESERVED,  /* in the table, put there by slots_reserve */
    UNLINKED,  /* not in the table; a CPU that looked it up before may still count in it */
    QUIESCENT, /* unlinked, and no CPU counts in it any more */
    FREE,      /* available to slots_reserve */
    GROUPED,   /* in the table, under all keys of the group */
};

#define NO_KEY 0xffffffffu

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
    bool kept;      /* by slots_keep, since the last slots_pick_victims */
    bool listening; /* by slots_listen, since then */
    __u8 fresh;     /* for so many reads it may not be taken from its owner */
    bool on_ring;   /* as slots_find_on_ring found it */
};

/* For sorting slots by how busy they are. */
struct rank {
    __u64 busy;
    __u64 delta_bytes;
    __u32 slot;
};

struct slots {
    struct pb_shared *shared;
    __u32 dynamic_end;  /* dynamic slots end and those for slots_reserve begin here */
    __u32 used_end;     /* of those, slots from here on were never in the table */
    __u32 reserved_end; /* those for slots_reserve end and the groups' begin here */
    __u32 end;
    __u32 *list;        /* the last slots_list; room for all */
    __u32 listed;       /* its length */
    struct rank *ranks; /* work space with room for the dynamic slots */
    struct port_set folded;
    __u32 free;              /* how many slots are FREE */
    __u32 free_from;         /* none before this one is: there may be 32,768 to be given at once */
    __u32 claims;            /* how many keys are in `claiming` */
    __u32 waited;            /* how many ports were `waiting` in the last read */
    __u32 turn;              /* whose it is to lose its slot to them, modulo those in use */
    struct key_set claiming; /* listening ports that have the first right to FREE slots */
    struct key_set waiting;  /* passed to slots_listen since slots_pick_victims, without success */
    struct key_set unfolded; /* waited at the previous read, or since then as a series */
    struct key_set stays;    /* of these, those that slots_keep spared since then */
    struct slot slot[];
};

/* The classifier writes these words concurrently. */
static inline __u32 load_acquire(const __u32 *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* The table entry of a port that has no slot of its own: "ephemeral", or 0. */
static inline __u32 default_slot(const struct slots *slots, __u32 key) {
    return port_set_has(&slots->folded, key % PB_PORTS) && !key_set_has(&slots->waiting, key) &&
                   !key_set_has(&slots->unfolded, key)
               ? PB_SLOT_EPHEMERAL(key / PB_PORTS)
               : 0;
}

/* As slots_new, but leaves the shared memory as it is. All dynamic slots are LIVE, others FREE. */
int slots_create(struct slots **out, struct pb_shared *shared, struct slots_layout layout);

/* Points the table's entry for key at `slot`, and unlinks the slot that it pointed at. */
static inline void slots_set_entry(struct slots *slots, __u32 key, __u32 slot) {
    __u32 old = __atomic_exchange_n(&slots->shared->table[key], slot, __ATOMIC_SEQ_CST);

    if (old >= PB_FIXED_SLOTS && old < slots->reserved_end && old != slot) {
        slots->slot[old].key = key;
        slots->slot[old].state = UNLINKED;
        slots->slot[old].unlinked_at = 0; /* the next slots_unlink dates it */
    }
}

/* slots_pick_victims, of the reserved slots. */
void slots_pick_reserved(struct slots *slots);

/*
 * Sets on_ring of all dynamic slots. The classifier may allocate some of them meanwhile. It clears
 * a cell only after it has written the table: a slot that is not found is in the table already, if
 * the classifier has it, and one that is found may be there as well.
 */
void slots_find_on_ring(struct slots *slots);

#endif
