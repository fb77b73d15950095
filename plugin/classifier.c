/* SPDX-License-Identifier: MIT */
#include "classifier.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "pins.h"
#include "snapshot.h"
#include "tc_portbytes.skel.h"

struct classifier {
    struct tc_portbytes_bpf *object;
    __u32 slots;                        /* in the map, of one CPU */
    int cpus;                           /* highest possible CPU number plus 1 */
    const struct pb_counters *counters; /* the map: all slots of a CPU, then the next CPU's */
    size_t counters_size;
    void *state;
    size_t state_size;
};

/* CPUs share no cache line of counters. */
#define SLOTS_PER_LINE (PB_LINE / sizeof(struct pb_counters))

#define POSSIBLE_CPUS "/sys/devices/system/cpu/possible"

/*
 * The highest possible CPU number plus 1. Not the number of CPUs: there may be gaps, and a CPU
 * beyond the counters would not count.
 */
static int cpu_numbers(void) {
    FILE *file = fopen(POSSIBLE_CPUS, "re"); /* "0-63", "0,2-3" */
    int last = -1;
    char separator;

    if (!file)
        return -errno;
    while (fscanf(file, "%d", &last) == 1 && fscanf(file, "%c", &separator) == 1)
        ;
    fclose(file);
    return last < 0 ? -EINVAL : last + 1;
}

/* ---- what is pinned ---- */

/* The maps, and the names of their pins. */
#define MAPS 4
static void list_maps(const struct tc_portbytes_bpf *object, struct bpf_map *maps[MAPS],
                      const char *names[MAPS]) {
    maps[0] = object->maps.counters, names[0] = "counters";
    maps[1] = object->maps.bss, names[1] = "shared";
    maps[2] = object->maps.ring_lock, names[2] = "ring_lock";
    maps[3] = object->maps.fragments, names[3] = "fragments";
}

#define STATE_PAGE 4096u

static __u32 state_pages(size_t size) {
    return (size + STATE_PAGE - 1) / STATE_PAGE;
}

static int map_state(struct classifier *classifier, int fd) {
    void *state = mmap(NULL, classifier->state_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (state == MAP_FAILED)
        return -errno;
    classifier->state = state;
    return 0;
}

static void unmap_state(struct classifier *classifier) {
    if (classifier->state)
        munmap(classifier->state, classifier->state_size);
    classifier->state = NULL;
}

/* Whether there is a state of these settings; it is mapped then. */
static bool find_state(struct classifier *classifier, const struct classifier_pins *pins) {
    CLEANUP_CLOSE int fd = pins_get(pins->pins, pins->interface, "state");
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);
    bool used = false;

    if (fd < 0)
        return false;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0) {
        if (info.type == BPF_MAP_TYPE_ARRAY && info.value_size == STATE_PAGE &&
            info.max_entries == state_pages(classifier->state_size))
            map_state(classifier, fd);
        used = !classifier->state || snapshot_is_there(classifier->state);
    }
    if (classifier->state &&
        snapshot_latest(classifier->state, classifier->state_size, pins->fingerprint))
        return true;
    unmap_state(classifier);
    if (used)
        pb_log(LOG_NOTICE,
               "%s: pinned maps were made with other settings or by another version; counters "
               "restart from zero.",
               pins->name);
    return false;
}

/* Makes the object use the maps that are pinned. False: they aren't all there. */
static bool reuse_maps(struct tc_portbytes_bpf *object, const struct classifier_pins *pins) {
    struct bpf_map *maps[MAPS];
    const char *names[MAPS];

    list_maps(object, maps, names);
    for (int i = 0; i < MAPS; i++) {
        CLEANUP_CLOSE int fd = pins_get(pins->pins, pins->interface, names[i]);

        if (fd < 0 || bpf_map__reuse_fd(maps[i], fd))
            return false;
    }
    return true;
}

/* Pins what was made just now. Attachments that are pinned stay, to be taken over. */
static int pin_maps(struct classifier *classifier, const struct classifier_pins *pins) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    CLEANUP_CLOSE int state = -1;
    struct bpf_map *maps[MAPS];
    const char *names[MAPS];
    int error;

    pins_remove(pins->pins, pins->interface, "state"); /* first: it makes the others valid */
    list_maps(classifier->object, maps, names);
    for (int i = 0; i < MAPS; i++) {
        error = pins_put(pins->pins, pins->interface, names[i], bpf_map__fd(maps[i]));
        if (error)
            return error;
    }
    state = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pb_state", sizeof(__u32), STATE_PAGE,
                           state_pages(classifier->state_size), &options);
    if (state < 0)
        return state;
    error = map_state(classifier, state);
    return error ? error : pins_put(pins->pins, pins->interface, "state", state);
}

/* ---- loading ---- */

static int open_object(struct classifier *classifier, const struct classifier_settings *settings) {
    struct tc_portbytes_bpf *object = tc_portbytes_bpf__open();

    if (!object)
        return -errno;
    classifier->object = object;
    object->rodata->l2_len = settings->l2_len;
    object->rodata->ingress_port = settings->ingress_port;
    object->rodata->egress_port = settings->egress_port;
    object->rodata->slots_per_cpu = classifier->slots;
    bpf_program__set_autoload(object->progs.tc_portbytes_in, settings->ingress);
    bpf_program__set_autoload(object->progs.tc_portbytes_eg, settings->egress);
    return 0;
}

/* Whether the pinned maps are reused. *error: the object could not be opened again. */
static bool resume(struct classifier *classifier, const struct classifier_settings *settings,
                   const struct classifier_pins *pins, int *error) {
    if (!find_state(classifier, pins))
        return false;
    if (reuse_maps(classifier->object, pins))
        return true;
    /* Some maps were removed: the rest is of no use, nor is the object that took some of them. */
    pins_remove(pins->pins, pins->interface, "state");
    unmap_state(classifier);
    tc_portbytes_bpf__destroy(classifier->object);
    classifier->object = NULL;
    *error = open_object(classifier, settings);
    return false;
}

/* *resumed: with the maps that are pinned. */
static int load_object(struct classifier *classifier, const struct classifier_settings *settings,
                       const struct classifier_pins *pins, bool *resumed) {
    int error = open_object(classifier, settings);

    *resumed = !error && pins && resume(classifier, settings, pins, &error);
    if (!error && !*resumed)
        error = bpf_map__set_max_entries(classifier->object->maps.counters,
                                         classifier->slots * classifier->cpus);
    if (!error)
        error = tc_portbytes_bpf__load(classifier->object);
    /* .bss not mapped: a probe that libbpf makes once had failed, so it assumes no support. */
    if (!error && !classifier->object->bss)
        error = -EUCLEAN;
    return error;
}

/* Resources that run out have the same remedies as for loading. */
static int explain_pin_error(int error, char reason[LOAD_ERROR_SIZE]) {
    if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOSPC)
        return explain_load_error(error, reason);
    snprintf(reason, LOAD_ERROR_SIZE,
             "cannot pin the maps below /sys/fs/bpf/tc_portbytes: %s; remove what is in the way, "
             "or run collectd as a user who may write there.",
             strerror(-error));
    return error;
}

static int map_counters(struct classifier *classifier) {
    size_t size = sizeof(struct pb_counters) * classifier->slots * classifier->cpus;
    void *counters =
        mmap(NULL, size, PROT_READ, MAP_SHARED, bpf_map__fd(classifier->object->maps.counters), 0);

    if (counters == MAP_FAILED)
        return -errno;
    classifier->counters = counters;
    classifier->counters_size = size;
    return 0;
}

int classifier_open(struct classifier **out, const struct classifier_settings *settings,
                    const struct classifier_pins *pins, char reason[LOAD_ERROR_SIZE]) {
    struct classifier *classifier;
    bool resumed;
    int error = check_kernel(reason);

    if (error)
        return error;
    classifier = calloc(1, sizeof(*classifier));
    if (!classifier) {
        snprintf(reason, LOAD_ERROR_SIZE, "out of memory.");
        return -ENOMEM;
    }
    classifier->state_size = pins ? pins->state_size : 0;
    classifier->slots = (settings->slots + SLOTS_PER_LINE - 1) / SLOTS_PER_LINE * SLOTS_PER_LINE;
    classifier->cpus = cpu_numbers();
    if (classifier->cpus < 1) {
        error = classifier->cpus;
        snprintf(reason, LOAD_ERROR_SIZE, "cannot read " POSSIBLE_CPUS ": %s.", strerror(-error));
        goto fail;
    }
    error = load_object(classifier, settings, pins, &resumed);
    if (error) {
        error = explain_load_error(error, reason);
        goto fail;
    }
    error = pins && !resumed ? pin_maps(classifier, pins) : 0;
    if (error) {
        error = explain_pin_error(error, reason);
        goto fail;
    }
    error = map_counters(classifier);
    if (error) {
        snprintf(reason, LOAD_ERROR_SIZE, "cannot map the counters: %s.", strerror(-error));
        goto fail;
    }
    *out = classifier;
    return 0;

fail:
    classifier_close(classifier);
    return error;
}

void classifier_close(struct classifier *classifier) {
    if (!classifier)
        return;
    tc_portbytes_bpf__destroy(classifier->object);
    if (classifier->counters)
        munmap((void *)classifier->counters, classifier->counters_size);
    unmap_state(classifier);
    free(classifier);
}

/* ---- using it ---- */

int classifier_ingress_program(const struct classifier *classifier) {
    return bpf_program__fd(classifier->object->progs.tc_portbytes_in);
}

int classifier_egress_program(const struct classifier *classifier) {
    return bpf_program__fd(classifier->object->progs.tc_portbytes_eg);
}

void *classifier_state(struct classifier *classifier) {
    return classifier->state;
}

struct pb_shared *classifier_shared(struct classifier *classifier) {
    return &classifier->object->bss->shared;
}

void classifier_read(const struct classifier *classifier, struct pb_counters *counters,
                     __u32 number) {
    memset(counters, 0, number * sizeof(*counters));
    for (int c = 0; c < classifier->cpus; c++) {
        const volatile struct pb_counters *cpu =
            classifier->counters + (size_t)c * classifier->slots;

        for (__u32 slot = 0; slot < number; slot++) {
            counters[slot].rx_bytes += cpu[slot].rx_bytes;
            counters[slot].rx_packets += cpu[slot].rx_packets;
            counters[slot].tx_bytes += cpu[slot].tx_bytes;
            counters[slot].tx_packets += cpu[slot].tx_packets;
        }
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int classifier_grace_period(void) {
    /* MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), see kernel/sched/membarrier.c. */
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}
