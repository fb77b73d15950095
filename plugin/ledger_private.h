/* SPDX-License-Identifier: MIT */
/* What ledger.c, ledger_limits.c and ledger_restore.c share; no other file includes it. */
#ifndef PB_LEDGER_PRIVATE_H
#define PB_LEDGER_PRIVATE_H

#include "bar.h"
#include "key_index.h"
#include "ledger.h"

enum kind { DYNAMIC, LISTENING, SELECTED }; /* of several that apply, the last */

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
    bool is_new;     /* ledger_for_each_new has not had it yet */
};

/* A port without an active series that may get one at this read. */
struct candidate {
    struct pb_counters delta;
    __u64 slot_bytes;
    __u32 key;
    bool listening;
};

/* Of dynamic, or of listening ports. Saved as it is: a change is one of the saved format. */
struct limit {
    struct bar bar;
    __u64 logged_at; /* when it was last logged that the bar rose; 0: never */
    __u32 names;     /* how many ports ever became series, by their kind at that time */
    __u32 unused;
};

struct ledger_ports {
    struct series *series; /* groups first: they are there from the start */
    __u32 number, capacity;
    struct key_index index; /* 1 + a port's index in series; without the groups */
};

/* There may be a thousand: of the fixed series only those that counted anything are touched. */
struct ledger {
    struct ledger_policy policy;
    struct ledger_ports ports;
    struct limit limits[SELECTED]; /* by kind; selected ports have none */
    ledger_listening_fn *is_listening;
    const void *is_listening_context;
    struct candidate *candidates;
    __u32 candidates_number, candidates_capacity;
    char interface[64];
    bool any_new; /* some series is new */
    __u32 fixed_number;
    __u16 fixed_used[PB_FIXED_SLOTS];    /* the slots of those that ever counted anything */
    struct series fixed[PB_FIXED_SLOTS]; /* by slot; they need no memory that may not be there */
};

/* The series of a fixed slot, which counts now. */
struct series *ledger_use_fixed(struct ledger *ledger, __u32 slot);

/* The series of a port or a group, a new one if it has none. NULL: no memory. */
struct series *ledger_add_port(struct ledger *ledger, __u32 key);

static inline void add_counters(struct pb_counters *to, const struct pb_counters *delta) {
    to->rx_bytes += delta->rx_bytes;
    to->rx_packets += delta->rx_packets;
    to->tx_bytes += delta->tx_bytes;
    to->tx_packets += delta->tx_packets;
}

static inline bool is_zero(const struct pb_counters *counters) {
    return !(counters->rx_bytes | counters->rx_packets | counters->tx_bytes | counters->tx_packets);
}

/*
 * ledger_limits.c: whether a port may become a series that listens, or counted slot_bytes since it
 * has its slot, at least min_bytes; has_record: it was one before. It is to be told of each port
 * that became one for the first time, with the time in its bar.
 */
bool ledger_may_begin(const struct ledger *ledger, enum kind kind, __u64 slot_bytes,
                      bool has_record);
void ledger_begun(struct ledger *ledger, enum kind kind);

#endif
