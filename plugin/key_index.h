/* SPDX-License-Identifier: MIT */
/*
 * Numbers by key: a hash table whose size grows with what is in it. Keys are those of
 * tc_portbytes.h. All zero is an empty index. One thread at a time.
 */
#ifndef PB_KEY_INDEX_H
#define PB_KEY_INDEX_H

#include <linux/types.h>

struct key_index_cell {
    __u32 key, number; /* number 0: empty */
};

struct key_index {
    struct key_index_cell *cells; /* 2^bits; NULL: none */
    unsigned bits;
    __u32 used;
};

/* The number of a key; 0: it has none. */
__u32 key_index_get(const struct key_index *index, __u32 key);

/* Adds a key that has no number yet. number: not 0. -ENOMEM: the index is unchanged. */
int key_index_add(struct key_index *index, __u32 key, __u32 number);

/* It is empty then. */
void key_index_clear(struct key_index *index);

#endif
