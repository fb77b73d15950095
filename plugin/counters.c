/* SPDX-License-Identifier: MIT */
#include "counters.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "classifier_private.h"
#include "cleanup.h"
#include "pins.h"
#include "snapshot.h"

struct counters {
    struct counters *next; /* the classifier's list */
    struct classifier *classifier;
    __u32 row;
    int map; /* -1: published, so the classifier holds it */
    bool published;
    const struct pb_counters *memory; /* all slots of a lane, then the next lane's */
    struct state_map state;
};

#define NAME "counters"

__u64 counters_size(const struct classifier_settings *settings) {
    __u64 page = (__u64)sysconf(_SC_PAGESIZE);

    return (number_of_counters(settings) * sizeof(struct pb_counters) + page - 1) / page * page;
}

/* ---- rows ---- */

static bool is_taken(const struct classifier *classifier, __u32 row) {
    for (const struct counters *i = classifier->counters; i; i = i->next)
        if (i->row == row)
            return true;
    return false;
}

static int choose_row(const struct classifier *classifier, int interface, __u32 *out) {
    __u32 row = (__u32)interface & (PB_ROWS - 1);

    if (is_taken(classifier, row))
        for (row = PB_ROWS; row < PB_ROWS + PB_SPARE_ROWS && is_taken(classifier, row); row++)
            ;
    if (row == PB_ROWS + PB_SPARE_ROWS)
        return -EBUSY;
    *out = row;
    return 0;
}

__u32 counters_row(const struct counters *counters) {
    return counters->row < PB_ROWS ? PB_ROW_BY_INDEX : counters->row;
}

static int update_rows(int rows, const __u32 *keys, const __u32 *maps, __u32 number) {
    __u32 done = number;
    int error = bpf_map_update_batch(rows, keys, maps, &done, NULL);

    if (!error)
        return 0;
    error = 0; /* a map of maps has no batches before Linux 5.19 */
    for (__u32 i = 0; i < number && !error; i++)
        error = bpf_map_update_elem(rows, &keys[i], &maps[i], BPF_ANY);
    return error;
}

int counters_publish(struct counters *const *counters, unsigned number) {
    __u32 *keys, *maps;
    int error;

    if (!number)
        return 0;
    keys = calloc(2 * (size_t)number, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    maps = keys + number;
    for (unsigned i = 0; i < number; i++) {
        keys[i] = counters[i]->row;
        maps[i] = (__u32)counters[i]->map;
        counters[i]->published = true; /* or may be, if this fails */
    }
    error = update_rows(counters[0]->classifier->maps[MAP_ROWS], keys, maps, number);
    for (unsigned i = 0; i < number && !error; i++)
        close(take_fd(&counters[i]->map));
    free(keys);
    return error;
}

void counters_withdraw(struct counters *counters) {
    if (counters->published)
        bpf_map_delete_elem(counters->classifier->maps[MAP_ROWS], &counters->row);
    counters->published = false;
}

/* ---- opening and closing ---- */

/* A state in which nothing was committed is none. */
static int resume(struct counters *counters, int interface, const struct counters_pins *pins) {
    const struct classifier_settings *settings = &counters->classifier->settings;
    int error = state_map_find(&counters->state, pins->pins, interface, pins->state_size);
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);

    if (error)
        return error == -ESTALE ? -ENOENT : error;
    if (!snapshot_latest(counters->state.memory, pins->state_size, pins->fingerprint))
        return -ENOENT;
    counters->map = pins_get(pins->pins, interface, NAME);
    if (counters->map < 0)
        return counters->map;
    if (bpf_obj_get_info_by_fd(counters->map, &info, &length))
        return -errno;
    return info.type == BPF_MAP_TYPE_ARRAY && info.value_size == sizeof(struct pb_counters) &&
                   info.max_entries == number_of_counters(settings)
               ? 0
               : -ENOENT;
}

static int make(struct counters *counters, int interface, const struct counters_pins *pins) {
    int error = 0;

    state_map_unmap(&counters->state);
    if (counters->map >= 0)
        close(take_fd(&counters->map));
    if (pins)
        pins_remove_others(pins->pins, interface);
    counters->map = make_counters_map(&counters->classifier->settings);
    if (counters->map < 0)
        return counters->map;
    if (pins)
        error = pins_put(pins->pins, interface, NAME, counters->map);
    if (pins && !error)
        error = state_map_make(&counters->state, pins->pins, interface, pins->state_size);
    return error;
}

static int map_memory(struct counters *counters) {
    void *memory = mmap(NULL, counters_size(&counters->classifier->settings), PROT_READ, MAP_SHARED,
                        counters->map, 0);

    if (memory == MAP_FAILED)
        return -errno;
    counters->memory = memory;
    return 0;
}

int counters_open(struct counters **out, struct classifier *classifier, int interface,
                  const struct counters_pins *pins) {
    struct counters *counters = calloc(1, sizeof(*counters));
    int error;

    if (!counters)
        return -ENOMEM;
    counters->classifier = classifier;
    counters->map = -1;
    error = choose_row(classifier, interface, &counters->row);
    if (!error)
        error = pins ? resume(counters, interface, pins) : -ENOENT;
    if (error == -ENOENT)
        error = make(counters, interface, pins);
    if (!error)
        error = map_memory(counters);
    counters->next = classifier->counters;
    classifier->counters = counters;
    if (error)
        counters_close(counters);
    else
        *out = counters;
    return error;
}

void counters_close(struct counters *counters) {
    struct counters **place;

    if (!counters)
        return;
    for (place = &counters->classifier->counters; *place != counters; place = &(*place)->next)
        ;
    *place = counters->next;
    if (counters->map >= 0)
        close(counters->map);
    if (counters->memory)
        munmap((void *)counters->memory, counters_size(&counters->classifier->settings));
    state_map_unmap(&counters->state);
    free(counters);
}

/* ---- using them ---- */

void *counters_state(struct counters *counters) {
    return counters->state.memory;
}

/*
 * Each by one load: by two, as 32-bit machines load a __u64 otherwise, half of an addition could be
 * read. Not by libatomic: for lack of such a load it takes a lock, which the kernel doesn't know,
 * or a compare-and-swap, which this memory doesn't permit.
 */
_Static_assert(__atomic_always_lock_free(sizeof(__u64), 0),
               "there is no atomic load of 8 bytes; on ARM there is with -march=armv6k or later");

static void add(struct pb_counters *sum, const struct pb_counters *slot) {
    sum->rx_bytes += __atomic_load_n(&slot->rx_bytes, __ATOMIC_RELAXED);
    sum->rx_packets += __atomic_load_n(&slot->rx_packets, __ATOMIC_RELAXED);
    sum->tx_bytes += __atomic_load_n(&slot->tx_bytes, __ATOMIC_RELAXED);
    sum->tx_packets += __atomic_load_n(&slot->tx_packets, __ATOMIC_RELAXED);
}

void counters_read(const struct counters *counters, const __u32 *list, __u32 number,
                   struct pb_counters *sums) {
    const struct classifier_settings *settings = &counters->classifier->settings;

    for (__u32 i = 0; i < number; i++)
        sums[list[i]] = (struct pb_counters){0};
    for (__u32 lane = 0; lane <= settings->lanes; lane++) {
        const struct pb_counters *slots = counters->memory + (size_t)lane * settings->slots;

        for (__u32 i = 0; i < number; i++)
            add(&sums[list[i]], &slots[list[i]]);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
