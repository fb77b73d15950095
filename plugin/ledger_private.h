/* SPDX-License-Identifier: MIT */
/* What ledger.c and ledger_restore.c share; no other file includes it. */
#ifndef PB_LEDGER_PRIVATE_H
#define PB_LEDGER_PRIVATE_H

#include "ledger.h"

enum kind { DYNAMIC, LISTENING, SELECTED, KINDS }; /* of several that apply, the last */

/* Saved as it is: a change of struct or enum is one of the saved format. */
struct series {
    struct pb_counters total;    /* what it reports */
    struct pb_counters deferred; /* added to total after the next report */
    struct pb_counters pending;  /* of this read; ledger_update decides which series gets it */
    __u64 decayed_peak;          /* bytes per read: rises at once, falls slowly */
    __u64 last_active;           /* when it last counted bytes; listening: had a socket */
    __u32 key;
    enum kind kind;
    bool active;
    bool reported;   /* at least once since it became active */
    bool unreported; /* total contains an amount that no report has included yet */
};

/* A port without an active series that may get one at this read. */
struct candidate {
    struct pb_counters delta;
    __u32 key;
};

struct ledger {
    struct ledger_policy policy;
    struct series fixed[PB_FIXED_SLOTS]; /* by slot; they always exist */
    struct series *ports;
    __u32 ports_number, ports_capacity;
    __u32 *port_index;    /* by key: 1 + its index in ports; 0: it never had a series */
    __u32 created[KINDS]; /* how many ports ever became series, by their kind at that time */
    struct candidate *candidates;
    __u32 candidates_number, candidates_capacity;
    char interface[64];
};

#endif
