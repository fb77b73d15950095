/* SPDX-License-Identifier: MIT */
/* What packet.c and turns.c share. */
#ifndef PB_BENCH_PACKET_H
#define PB_BENCH_PACKET_H

#include "bench.h"

#define SECTION "packet"

enum variant {
    EMPTY,
    PARSE,
    TEXTBOOK,
    HASH,
    LRU,
    ARRAY,
    RING,
    OURS,         /* each port has a counter of its own, as in the others */
    OURS_DEFAULT, /* default settings: 512 slots, beyond them the port counts in "other" */
    OLD,          /* as OURS */
    OLD_DEFAULT,
    VARIANTS
};

extern const char *const variant_names[VARIANTS];

/* Whether a variant takes part. */
bool is_present(enum variant variant);

/* The scene of turns.c. OURS_DEFAULT and OLD_DEFAULT are in it. */
void turns_measure(unsigned rounds);

/* Whether each interface has its own packets counted, and only these. */
bool turns_count(enum variant variant);

#endif
