/* SPDX-License-Identifier: MIT */
/*
 * The classifier's side of struct pb_shared, simulated on ordinary memory. It shares no code with
 * the BPF program: a mistake in one of them does not hide in both.
 *
 * The protocol, for each packet:
 * - table[key] is the slot in which the packet is counted. 0 means that the key has none.
 * - For a key without a slot: if head has reached tail, no slot is free, and the packet is counted
 *   in its transport's "other".
 * - Else, under the lock: read the slot in the ring's cell at head. Write key_of[slot] first, then
 *   publish the slot by compare-and-swap of table[key] from 0. If that succeeds, clear the cell,
 *   then advance head. If it fails, user space has assigned a slot meanwhile: count in that one and
 *   leave the ring as it is.
 * - A cell that is 0 under the lock was emptied by another CPU: count in what table[key] says by
 *   now, or in "other".
 * - Each interface has a row of counters. They are per CPU and plain: bytes first, then packets.
 *
 * Accesses to shared memory are __atomic where the BPF program has volatile ones, for the thread
 * sanitizer. A mutex stands for the BPF spin lock.
 */
#ifndef PB_SIMULATION_H
#define PB_SIMULATION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tc_portbytes.h"

#define SIMULATION_ROWS 4
#define SIMULATION_CPUS 4

struct simulation {
    struct pb_shared *shared;
    pthread_mutex_t lock;
    unsigned rows, cpus;
    __u32 slots;
    struct pb_counters *counters[SIMULATION_ROWS][SIMULATION_CPUS]; /* by slot */
    __u32 *allocations; /* by slot: how often the ring gave it to a key; written under the lock */

    /* Called under the lock, between the store to key_of and the compare-and-swap of the table. */
    void (*before_publishing)(struct simulation *simulation, __u32 key);
    void *context;
};

/*
 * rows, cpus: at most SIMULATION_ROWS and SIMULATION_CPUS. slots: of all kinds, slot 0 included.
 * Aborts without memory.
 */
static inline void simulation_new(struct simulation *simulation, unsigned rows, unsigned cpus,
                                  __u32 slots) {
    *simulation = (struct simulation){.rows = rows, .cpus = cpus, .slots = slots};
    pthread_mutex_init(&simulation->lock, NULL);
    simulation->shared = aligned_alloc(PB_LINE, sizeof(*simulation->shared));
    simulation->allocations = calloc(simulation->slots, sizeof(*simulation->allocations));
    if (!simulation->shared || !simulation->allocations)
        abort();
    memset(simulation->shared, 0, sizeof(*simulation->shared));
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned cpu = 0; cpu < cpus; cpu++) {
            simulation->counters[row][cpu] = calloc(slots, sizeof(struct pb_counters));
            if (!simulation->counters[row][cpu])
                abort();
        }
    }
}

static inline void simulation_free(struct simulation *simulation) {
    for (unsigned row = 0; row < simulation->rows; row++)
        for (unsigned cpu = 0; cpu < simulation->cpus; cpu++)
            free(simulation->counters[row][cpu]);
    free(simulation->allocations);
    free(simulation->shared);
    pthread_mutex_destroy(&simulation->lock);
}

/* An interface that comes has counters of its own, which are zero. */
static inline void simulation_clear_row(struct simulation *simulation, unsigned row) {
    for (unsigned cpu = 0; cpu < simulation->cpus; cpu++)
        memset(simulation->counters[row][cpu], 0, simulation->slots * sizeof(struct pb_counters));
}

/* For a key without a slot: one from the ring, else "other". */
static inline __u32 simulation_alloc_slot(struct simulation *simulation, __u32 key) {
    struct pb_shared *shared = simulation->shared;
    __u32 other = PB_SLOT_OTHER(key / PB_PORTS), *cell, slot, answer = 0;
    __u64 head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);

    if (head >= __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE))
        return other;

    pthread_mutex_lock(&simulation->lock);
    head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
    cell = &shared->ring[head & (PB_RING - 1)];
    slot = __atomic_load_n(cell, __ATOMIC_ACQUIRE);
    if (slot == 0) {
        answer = __atomic_load_n(&shared->table[key], __ATOMIC_ACQUIRE);
    } else {
        __atomic_store_n(&shared->key_of[slot], key, __ATOMIC_RELAXED);
        if (simulation->before_publishing)
            simulation->before_publishing(simulation, key);
        if (__atomic_compare_exchange_n(&shared->table[key], &answer, slot, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            __atomic_store_n(cell, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&shared->head, head + 1, __ATOMIC_RELEASE);
            simulation->allocations[slot]++;
            answer = slot;
        }
    }
    pthread_mutex_unlock(&simulation->lock);
    return answer ? answer : other;
}

/* The slot in which a packet with this key is counted. */
static inline __u32 simulation_lookup(struct simulation *simulation, __u32 key) {
    __u32 slot = __atomic_load_n(&simulation->shared->table[key], __ATOMIC_SEQ_CST);

    return slot ? slot : simulation_alloc_slot(simulation, key);
}

/* No atomic addition, as in the classifier: each CPU has counters of its own. */
static inline void simulation_add(__u64 *counter, __u64 increment) {
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + increment,
                     __ATOMIC_RELEASE);
}

static inline void simulation_count(struct simulation *simulation, unsigned row, unsigned cpu,
                                    __u32 slot, bool egress, __u64 bytes, __u64 packets) {
    struct pb_counters *counter = &simulation->counters[row][cpu][slot];

    simulation_add(egress ? &counter->tx_bytes : &counter->rx_bytes, bytes);
    simulation_add(egress ? &counter->tx_packets : &counter->rx_packets, packets);
}

/* What user space reads: of each slot in list[] the sum over all CPUs, into sums[slot]. */
static inline void simulation_read(const struct simulation *simulation, unsigned row,
                                   const __u32 *list, __u32 number, struct pb_counters *sums) {
    for (__u32 i = 0; i < number; i++) {
        struct pb_counters *sum = &sums[list[i]];

        *sum = (struct pb_counters){0};
        for (unsigned cpu = 0; cpu < simulation->cpus; cpu++) {
            const struct pb_counters *counter = &simulation->counters[row][cpu][list[i]];

            sum->rx_bytes += __atomic_load_n(&counter->rx_bytes, __ATOMIC_ACQUIRE);
            sum->rx_packets += __atomic_load_n(&counter->rx_packets, __ATOMIC_ACQUIRE);
            sum->tx_bytes += __atomic_load_n(&counter->tx_bytes, __ATOMIC_ACQUIRE);
            sum->tx_packets += __atomic_load_n(&counter->tx_packets, __ATOMIC_ACQUIRE);
        }
    }
}

#endif
