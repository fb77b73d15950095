/* SPDX-License-Identifier: MIT */
/*
 * Memory that outlives the process: a BPF map that is pinned as "state" beside those that it
 * describes. snapshot.h gives it a form.
 *
 * Errors are negative errno and are not logged.
 */
#ifndef PB_STATE_MAP_H
#define PB_STATE_MAP_H

#include <stddef.h>

struct pins;

/* All zero: none. */
struct state_map {
    void *memory; /* aligned to a page */
    size_t size;
};

/*
 * Maps what is pinned for the interface, or PINS_SHARED. -ENOENT: there is none; -ESTALE: it has
 * another size. On failure *out is unchanged.
 */
int state_map_find(struct state_map *out, const struct pins *pins, int interface, size_t size);

/* A new one, zero, in place of what is pinned there. */
int state_map_make(struct state_map *out, const struct pins *pins, int interface, size_t size);

/* The pin stays. */
void state_map_unmap(struct state_map *state);

#endif
