/* SPDX-License-Identifier: MIT */
/* What ledger.c and ledger_restore.c share; no other file includes it. */
#ifndef PB_LEDGER_PRIVATE_H
#define PB_LEDGER_PRIVATE_H

#include "key_index.h"
#include "ledger.h"

enum kind { DYNAMIC, LISTENING, SELECTED, KINDS }; /* of several that apply, the last */

/* Saved as it is: a change of struct or enum is one of the saved format. */
struct series {
    struct pb_counters total;    /* what it reports */
    struct pb_counters deferred; /* added to total after the next report */
    struct pb_counters pending;  /* of this read; ledger_update decides which series gets it */
    __u64 decayed_peak;          /* bytes per read: rises at once, falls slowly */
    __u64 last_active;           /* when it last counted bytes; listening: had a socket */
    __u32 key;                   /* of a fixed series its slot */
    enum kind kind;
    bool active;
    bool reported;   /* at least once since it became active */
    bool unreported; /* total contains an amount that no report has included yet */
    bool ending;     /* by ledger_end, as soon as it may */
};

/* A port without an active series that may get one at this read. */
struct candidate {
    struct pb_counters delta;
    __u32 key;
};

/* There may be a thousand: of the fixed series only those that counted anything are touched. */
struct ledger {
    struct ledger_policy policy;
    struct series *ports;
    __u32 ports_number, ports_capacity;
    struct key_index port_index; /* 1 + a port's index in ports */
    __u32 created[KINDS];        /* how many ports ever became series, by their kind at that time */
    struct candidate *candidates;
    __u32 candidates_number, candidates_capacity;
    char interface[64];
    __u32 fixed_number;
    __u16 fixed_used[PB_FIXED_SLOTS];    /* the slots of those that ever counted anything */
    struct series fixed[PB_FIXED_SLOTS]; /* by slot; they need no memory that may not be there */
};

/* The series of a fixed slot, which counts now. */
struct series *ledger_use_fixed(struct ledger *ledger, __u32 slot);

#endif
