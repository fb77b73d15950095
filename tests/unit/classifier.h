/* SPDX-License-Identifier: MIT */
/*
 * The classifier as DESIGN.md describes it ("The counting engine"), simulated on
 * ordinary memory: written from that text, not from the BPF program, so that the
 * two readings of it can disagree.
 *
 * Accesses to shared memory are __atomic ones where BPF has volatile ones, for
 * the thread sanitizer; a mutex stands for the spin lock.
 */
#ifndef PB_CLASSIFIER_H
#define PB_CLASSIFIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tc_portbytes.h"

#define CLASSIFIER_CPUS 4

struct classifier {
    struct pb_shared *shared;
    pthread_mutex_t lock;
    unsigned cpus;
    __u32 slots;
    struct pb_counters *counters[CLASSIFIER_CPUS]; /* per CPU, by slot */
    __u32 *takes; /* by slot: how often it was taken from the ring; under the lock */

    /* Called in the one place where user space can get between key_of and the entry. */
    void (*before_publishing)(struct classifier *classifier, __u32 key);
    void *context;
};

/* slots: of all kinds, slot 0 included. */
static inline void classifier_new(struct classifier *classifier, unsigned cpus, __u32 slots) {
    *classifier = (struct classifier){.cpus = cpus, .slots = slots};
    pthread_mutex_init(&classifier->lock, NULL);
    classifier->shared = aligned_alloc(PB_LINE, sizeof(*classifier->shared));
    classifier->takes = calloc(classifier->slots, sizeof(*classifier->takes));
    if (!classifier->shared || !classifier->takes)
        abort();
    memset(classifier->shared, 0, sizeof(*classifier->shared));
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        classifier->counters[cpu] = calloc(classifier->slots, sizeof(struct pb_counters));
        if (!classifier->counters[cpu])
            abort();
    }
}

static inline void classifier_free(struct classifier *classifier) {
    for (unsigned cpu = 0; cpu < classifier->cpus; cpu++)
        free(classifier->counters[cpu]);
    free(classifier->takes);
    free(classifier->shared);
    pthread_mutex_destroy(&classifier->lock);
}

static inline __u32 classifier_miss(struct classifier *classifier, __u32 key) {
    struct pb_shared *shared = classifier->shared;
    __u32 other = PB_SLOT_OTHER(key / PB_PORTS), *cell, slot, answer = 0;
    __u64 head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);

    if (head >= __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE))
        return other;

    pthread_mutex_lock(&classifier->lock);
    head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
    cell = &shared->ring[head & (PB_RING - 1)];
    slot = __atomic_load_n(cell, __ATOMIC_ACQUIRE);
    if (slot == 0) {
        answer = __atomic_load_n(&shared->table[key], __ATOMIC_ACQUIRE);
    } else {
        __atomic_store_n(&shared->key_of[slot], key, __ATOMIC_RELAXED);
        if (classifier->before_publishing)
            classifier->before_publishing(classifier, key);
        if (__atomic_compare_exchange_n(&shared->table[key], &answer, slot, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            __atomic_store_n(cell, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&shared->head, head + 1, __ATOMIC_RELEASE);
            classifier->takes[slot]++;
            answer = slot;
        }
    }
    pthread_mutex_unlock(&classifier->lock);
    return answer ? answer : other;
}

/* The slot in which a packet of this key is to be counted. */
static inline __u32 classifier_slot(struct classifier *classifier, __u32 key) {
    __u32 slot = __atomic_load_n(&classifier->shared->table[key], __ATOMIC_SEQ_CST);

    return slot ? slot : classifier_miss(classifier, key);
}

/* As the classifier does: not atomic, each CPU has counters of its own. */
static inline void classifier_add(__u64 *counter, __u64 more) {
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + more, __ATOMIC_RELEASE);
}

static inline void classifier_count(struct classifier *classifier, unsigned cpu, __u32 slot,
                                    bool egress, __u64 bytes, __u64 packets) {
    struct pb_counters *counter = &classifier->counters[cpu][slot];

    classifier_add(egress ? &counter->tx_bytes : &counter->rx_bytes, bytes);
    classifier_add(egress ? &counter->tx_packets : &counter->rx_packets, packets);
}

/* What user space reads: the sums over all CPUs. */
static inline void classifier_read(const struct classifier *classifier, struct pb_counters *sums) {
    memset(sums, 0, classifier->slots * sizeof(*sums));
    for (unsigned cpu = 0; cpu < classifier->cpus; cpu++) {
        for (__u32 slot = 0; slot < classifier->slots; slot++) {
            const struct pb_counters *counter = &classifier->counters[cpu][slot];

            sums[slot].rx_bytes += __atomic_load_n(&counter->rx_bytes, __ATOMIC_ACQUIRE);
            sums[slot].rx_packets += __atomic_load_n(&counter->rx_packets, __ATOMIC_ACQUIRE);
            sums[slot].tx_bytes += __atomic_load_n(&counter->tx_bytes, __ATOMIC_ACQUIRE);
            sums[slot].tx_packets += __atomic_load_n(&counter->tx_packets, __ATOMIC_ACQUIRE);
        }
    }
}

#endif
