/* SPDX-License-Identifier: MIT */
/*
 * Sets of ports, or of the keys of ports, by bit. All zero is the empty set. Ports are below
 * PB_PORTS, keys below PB_PORT_KEYS.
 */
#ifndef PB_PORT_SET_H
#define PB_PORT_SET_H

#include <stdbool.h>

#include "tc_portbytes.h"

#define PORT_SET_BITS 64

struct port_set {
    __u64 word[PB_PORTS / PORT_SET_BITS];
};

struct key_set {
    __u64 word[PB_PORT_KEYS / PORT_SET_BITS];
};

static inline bool port_set_has(const struct port_set *set, __u32 port) {
    return set->word[port / PORT_SET_BITS] >> port % PORT_SET_BITS & 1;
}

static inline void port_set_add(struct port_set *set, __u32 port) {
    set->word[port / PORT_SET_BITS] |= 1ull << port % PORT_SET_BITS;
}

/* Adds first to last; none if first > last. */
static inline void port_set_add_range(struct port_set *set, __u32 first, __u32 last) {
    for (__u32 port = first; port <= last && port < PB_PORTS; port++)
        port_set_add(set, port);
}

static inline void port_set_remove_all(struct port_set *set, const struct port_set *others) {
    for (__u32 i = 0; i < PB_PORTS / PORT_SET_BITS; i++)
        set->word[i] &= ~others->word[i];
}

static inline bool key_set_has(const struct key_set *set, __u32 key) {
    return set->word[key / PORT_SET_BITS] >> key % PORT_SET_BITS & 1;
}

static inline void key_set_add(struct key_set *set, __u32 key) {
    set->word[key / PORT_SET_BITS] |= 1ull << key % PORT_SET_BITS;
}

static inline void key_set_remove(struct key_set *set, __u32 key) {
    set->word[key / PORT_SET_BITS] &= ~(1ull << key % PORT_SET_BITS);
}

#endif
