/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A slot for a port that has none. struct pb_shared says who writes what.
 */
#ifndef PB_ALLOC_SLOT_H
#define PB_ALLOC_SLOT_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "access.h"
#include "tc_portbytes.h"

extern struct pb_shared shared; /* defined by the program that includes this */

/* A lock in .bss needs Linux 6.2 (d0d78c1df9b1), a lock in a map of its own doesn't. */
struct ring_lock {
    struct bpf_spin_lock lock;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct ring_lock);
} ring_lock SEC(".maps");

/*
 * Moves a slot from the ring to the table entry of key, a port's, and returns it. Returns the
 * transport's "other" slot if the ring is empty, or the slot that the entry has got meanwhile.
 * User space writes table entries without the lock, hence the compare-and-swap, which is also the
 * barrier between key_of and the entry that publishes the slot. A global function: the verifier
 * checks it once.
 */
__noinline __u32 alloc_slot(__u32 key) {
    __u32 zero = 0, other = PB_SLOT_OTHER(key / PB_PORTS), slot, owner, *entry, *cell;
    struct ring_lock *ring;
    __u64 head;

    ring = bpf_map_lookup_elem(&ring_lock, &zero);
    if (!ring)
        return other;
    if (key >= PB_PORT_KEYS) /* only ports are ever without a slot */
        return PB_SLOT_NONIP;
    entry = PB_ELEMENT(shared.table, key);

    bpf_spin_lock(&ring->lock);
    head = READ_ONCE(shared.head);
    cell = PB_ELEMENT(shared.ring, head & (PB_RING - 1));
    slot = READ_ONCE(*cell);
    if (slot == 0 || slot >= PB_DYNAMIC_END) {
        slot = READ_ONCE(*entry);
    } else {
        WRITE_ONCE(*PB_ELEMENT(shared.key_of, slot), key);
        owner = __sync_val_compare_and_swap(entry, 0, slot);
        if (owner == 0) {
            WRITE_ONCE(*cell, 0);
            /* Atomic for user space alone: a 32-bit machine stores 8 bytes in halves otherwise. */
            __sync_fetch_and_add(&shared.head, 1);
        } else {
            slot = owner;
        }
    }
    bpf_spin_unlock(&ring->lock);
    return slot ? slot : other;
}

#endif
