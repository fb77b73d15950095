/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How user space prepares the map of rows. Not for the classifier. */
#ifndef PB_ROWS_H
#define PB_ROWS_H

#include <bpf/libbpf.h>
#include <linux/bpf.h>

/*
 * Before loading; 0 or a negative errno. row: a map that all rows are alike; it remains the
 * caller's. In a 32-bit kernel an array of maps is broken: what is stored at an index is found at
 * the half of it, as bpf_fd_array_map_update_elem() goes by the size of a pointer and
 * array_map_lookup_elem() by 8 bytes (kernel/bpf/arraymap.c). There it is a hash table, whose
 * look-up costs more. The classifier is the same.
 */
static inline int prepare_rows(struct bpf_map *rows, int row) {
    int error = bpf_map__set_inner_map_fd(rows, row);

    if (!error && sizeof(long) == 4) {
        error = bpf_map__set_type(rows, BPF_MAP_TYPE_HASH_OF_MAPS);
        if (!error)
            error = bpf_map__set_map_flags(rows, BPF_F_NO_PREALLOC);
    }
    return error;
}

#endif
