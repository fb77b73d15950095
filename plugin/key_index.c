/* SPDX-License-Identifier: MIT */
#include "key_index.h"

#include <errno.h>
#include <stdlib.h>

#define BITS_MIN 5

/*
 * The cell of a key, or the empty one that it would get. Multiplicative hashing (Knuth, The Art of
 * Computer Programming, volume 3, section 6.4) spreads ports that follow each other.
 */
static struct key_index_cell *find_cell(const struct key_index *index, __u32 key) {
    __u32 mask = (1u << index->bits) - 1;
    __u32 i = key * 2654435769u >> (32 - index->bits);

    while (index->cells[i].number && index->cells[i].key != key)
        i = (i + 1) & mask;
    return &index->cells[i];
}

__u32 key_index_get(const struct key_index *index, __u32 key) {
    return index->cells ? find_cell(index, key)->number : 0;
}

static int grow(struct key_index *index) {
    struct key_index grown = {.bits = index->cells ? index->bits + 1 : BITS_MIN,
                              .used = index->used};

    grown.cells = calloc(1u << grown.bits, sizeof(grown.cells[0]));
    if (!grown.cells)
        return -ENOMEM;
    for (__u32 i = 0; index->cells && i < 1u << index->bits; i++)
        if (index->cells[i].number)
            *find_cell(&grown, index->cells[i].key) = index->cells[i];
    free(index->cells);
    *index = grown;
    return 0;
}

int key_index_add(struct key_index *index, __u32 key, __u32 number) {
    /* At most half full: a search ends soon. */
    if (!index->cells || index->used * 2 >= 1u << index->bits) {
        int error = grow(index);

        if (error)
            return error;
    }
    *find_cell(index, key) = (struct key_index_cell){.key = key, .number = number};
    index->used++;
    return 0;
}

void key_index_clear(struct key_index *index) {
    free(index->cells);
    *index = (struct key_index){0};
}
