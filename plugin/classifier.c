/* SPDX-License-Identifier: MIT */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "alive.h"
#include "classifier_private.h"
#include "cleanup.h"
#include "descriptors.h"
#include "pins.h"
#include "rows.h"
#include "snapshot.h"
#include "tc_portbytes.skel.h"

/* CPUs share no cache line of counters. */
#define SLOTS_PER_LINE (PB_LINE / sizeof(struct pb_counters))

/*
 * Not the number of CPUs: there may be gaps. If it can't be read, one lane: all CPUs but the first
 * share the last one.
 */
__u32 classifier_lanes(void) {
    FILE *file = fopen("/sys/devices/system/cpu/online", "re"); /* "0-63", "0,2-3" */
    unsigned last = 0;
    char separator;

    if (!file)
        return 1;
    while (fscanf(file, "%u", &last) == 1 && fscanf(file, "%c", &separator) == 1)
        ;
    fclose(file);
    return last + 1;
}

/*
 * A 64-bit kernel below a 32-bit collectd is taken for a 32-bit one. PREEMPT_RT is in the kernel's
 * version (init/Makefile, scripts/mkcompile_h before 6.1); /sys/kernel/realtime only in the patches
 * for it. Before 6.18, and with PREEMPT_RT_NEEDS_BH_LOCK, plain adds would do, but that isn't told.
 */
bool classifier_needs_atomics(void) {
    struct utsname system;

    return sizeof(long) < sizeof(__u64) ||
           (uname(&system) == 0 &&
            (strstr(system.version, "PREEMPT_RT") || !strcmp(system.machine, "riscv64")));
}

/*
 * Without CONFIG_XFRM there is no bpf_skb_get_xfrm_state(), and the verifier refuses who calls it.
 * With it there is this file (net/xfrm/xfrm_sysctl.c).
 */
static bool kernel_has_xfrm(void) {
    return access("/proc/sys/net/core/xfrm_acq_expires", F_OK) == 0;
}

/* ---- loading ---- */

static void list_maps(const struct tc_portbytes_bpf *object, struct bpf_map *maps[SHARED_MAPS]) {
    maps[MAP_ROWS] = object->maps.rows;
    maps[MAP_SHARED_MEMORY] = object->maps.bss;
    maps[MAP_RING_LOCK] = object->maps.ring_lock;
    maps[MAP_FRAGMENTS] = object->maps.fragments;
}

static int open_object(const struct classifier *classifier, const struct kind *kind,
                       struct tc_portbytes_bpf **out) {
    const struct classifier_settings *settings = &classifier->settings;
    struct tc_portbytes_bpf *object = tc_portbytes_bpf__open();

    if (!object)
        return -errno;
    object->rodata->l2_len = kind->l2_len;
    object->rodata->ingress_port = settings->ingress_port;
    object->rodata->egress_port = settings->egress_port;
    object->rodata->slots_per_lane = settings->slots;
    object->rodata->lanes = settings->lanes;
    object->rodata->fixed_row = kind->row;
    object->rodata->atomic_adds = settings->atomic_adds;
    object->rodata->has_xfrm = kernel_has_xfrm();
    bpf_program__set_autoload(object->progs.tc_portbytes_in, settings->ingress);
    bpf_program__set_autoload(object->progs.tc_portbytes_eg, settings->egress);
    *out = object;
    return 0;
}

__u32 number_of_counters(const struct classifier_settings *settings) {
    return settings->slots * (settings->lanes + 1);
}

int make_counters_map(const struct classifier_settings *settings) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);

    return bpf_map_create(BPF_MAP_TYPE_ARRAY, "counters", sizeof(__u32), sizeof(struct pb_counters),
                          number_of_counters(settings), &options);
}

/* The maps that exist are used, the others are made. */
static int load_object(struct classifier *classifier, struct tc_portbytes_bpf *object) {
    CLEANUP_CLOSE int example = -1; /* all rows are like this one */
    struct bpf_map *maps[SHARED_MAPS];
    int error = 0;

    list_maps(object, maps);
    for (int i = 0; i < SHARED_MAPS && !error; i++)
        if (classifier->maps[i] >= 0)
            error = bpf_map__reuse_fd(maps[i], classifier->maps[i]);
    if (!error && classifier->maps[MAP_ROWS] < 0) {
        example = make_counters_map(&classifier->settings);
        error = example < 0 ? example : prepare_rows(object->maps.rows, example);
    }
    if (!error)
        error = tc_portbytes_bpf__load(object);
    /* .bss not mapped: a probe that libbpf makes once had failed, so it assumes no support. */
    if (!error && !object->bss)
        error = -EUCLEAN;
    return error;
}

static int keep_duplicate(int fd) {
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return duplicate < 0 ? -errno : descriptor_keep(duplicate);
}

static int keep_maps(struct classifier *classifier, const struct tc_portbytes_bpf *object) {
    struct bpf_map *maps[SHARED_MAPS];

    list_maps(object, maps);
    for (int i = 0; i < SHARED_MAPS; i++) {
        int fd;

        if (classifier->maps[i] >= 0)
            continue;
        fd = keep_duplicate(bpf_map__fd(maps[i]));
        if (fd < 0)
            return fd;
        classifier->maps[i] = fd;
    }
    return 0;
}

static int keep_program(struct program *program, const struct bpf_program *loaded) {
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);

    if (bpf_program__fd(loaded) < 0) /* not wanted */
        return 0;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(loaded), &info, &length))
        return -errno;
    program->id = info.id;
    program->fd = keep_duplicate(bpf_program__fd(loaded));
    return program->fd < 0 ? program->fd : 0;
}

static void free_kind(struct kind *kind) {
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        if (kind->programs[direction].fd >= 0)
            descriptor_close(kind->programs[direction].fd);
        alive_end(&kind->programs[direction]);
    }
    free(kind);
}

static int load_kind(struct classifier *classifier, struct kind *kind) {
    struct tc_portbytes_bpf *object;
    int error = open_object(classifier, kind, &object);

    if (error)
        return error;
    error = load_object(classifier, object);
    if (!error)
        error = keep_maps(classifier, object);
    if (!error)
        error = keep_program(&kind->programs[INGRESS], object->progs.tc_portbytes_in);
    if (!error)
        error = keep_program(&kind->programs[EGRESS], object->progs.tc_portbytes_eg);
    tc_portbytes_bpf__destroy(object);
    return error;
}

static int add_kind(struct classifier *classifier, __u32 l2_len, __u32 row, struct kind **out) {
    struct kind *kind = calloc(1, sizeof(*kind));
    int error;

    if (!kind)
        return -ENOMEM;
    kind->l2_len = l2_len;
    kind->row = row;
    for (int direction = 0; direction < DIRECTIONS; direction++)
        kind->programs[direction] = (struct program){.fd = -1, .alive = -1};
    error = load_kind(classifier, kind);
    if (error) {
        free_kind(kind);
        return error;
    }
    kind->next = classifier->kinds;
    classifier->kinds = kind;
    *out = kind;
    return 0;
}

int classifier_programs(struct classifier *classifier, __u32 l2_len, __u32 row,
                        struct program *programs[DIRECTIONS], char reason[LOAD_ERROR_SIZE]) {
    struct kind *kind = classifier->kinds;
    int error = 0;

    while (kind && (kind->l2_len != l2_len || kind->row != row))
        kind = kind->next;
    if (!kind)
        error = add_kind(classifier, l2_len, row, &kind);
    if (error)
        return explain_load_error(error, reason);
    for (int direction = 0; direction < DIRECTIONS; direction++)
        programs[direction] = kind->programs[direction].fd < 0 ? NULL : &kind->programs[direction];
    return 0;
}

/* ---- what is pinned ---- */

/* Rows aren't: a new daemon makes its own, whose programs replace those that use the old ones. */
static const char *const pin_names[SHARED_MAPS] = {
    [MAP_SHARED_MEMORY] = "memory", [MAP_RING_LOCK] = "ring_lock", [MAP_FRAGMENTS] = "fragments"};

static void close_maps(struct classifier *classifier) {
    for (int i = 0; i < SHARED_MAPS; i++) {
        if (classifier->maps[i] >= 0)
            descriptor_close(classifier->maps[i]);
        classifier->maps[i] = -1;
    }
}

/* 0: maps and state are there. -ENOENT: not all of them, or of another fingerprint. */
static int find_pinned(struct classifier *classifier, const struct classifier_pins *pins) {
    int error = state_map_find(&classifier->state, pins->pins, PINS_SHARED, pins->state_size);

    if (error)
        return error == -ESTALE ? -ENOENT : error;
    if (!snapshot_latest(classifier->state.memory, pins->state_size, pins->fingerprint))
        return -ENOENT;
    for (int i = 0; i < SHARED_MAPS; i++) {
        int fd;

        if (!pin_names[i])
            continue;
        fd = pins_get(pins->pins, PINS_SHARED, pin_names[i]);
        if (fd >= 0)
            fd = descriptor_keep(fd);
        if (fd < 0)
            return fd;
        classifier->maps[i] = fd;
    }
    return 0;
}

static int pin_maps(struct classifier *classifier, const struct classifier_pins *pins) {
    for (int i = 0; i < SHARED_MAPS; i++) {
        int error =
            pin_names[i] ? pins_put(pins->pins, PINS_SHARED, pin_names[i], classifier->maps[i]) : 0;

        if (error)
            return error;
    }
    return state_map_make(&classifier->state, pins->pins, PINS_SHARED, pins->state_size);
}

static int resume(struct classifier *classifier, const struct classifier_pins *pins) {
    int error = find_pinned(classifier, pins);

    if (error != -ENOENT) {
        classifier->resumed = !error;
        return error;
    }
    state_map_unmap(&classifier->state);
    close_maps(classifier);
    pins_remove_all(pins->pins, PINS_SHARED);
    return 0;
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

/* ---- opening and closing ---- */

static int map_shared(struct classifier *classifier) {
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);
    int fd = classifier->maps[MAP_SHARED_MEMORY];
    void *shared = mmap(NULL, sizeof(struct pb_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (shared == MAP_FAILED)
        return -errno;
    classifier->shared = shared;
    if (bpf_obj_get_info_by_fd(fd, &info, &length))
        return -errno;
    classifier->id = info.id;
    return 0;
}

int classifier_open(struct classifier **out, const struct classifier_settings *settings,
                    const struct classifier_pins *pins, char reason[LOAD_ERROR_SIZE]) {
    struct classifier *classifier;
    struct kind *ethernet;
    int error = check_kernel(reason);

    if (error)
        return error;
    classifier = calloc(1, sizeof(*classifier));
    if (!classifier) {
        snprintf(reason, LOAD_ERROR_SIZE, "out of memory.");
        return -ENOMEM;
    }
    classifier->settings = *settings;
    classifier->settings.slots =
        (settings->slots + SLOTS_PER_LINE - 1) / SLOTS_PER_LINE * SLOTS_PER_LINE;
    for (int i = 0; i < SHARED_MAPS; i++)
        classifier->maps[i] = -1;
    error = pins ? resume(classifier, pins) : 0;
    if (error) {
        error = explain_pin_error(error, reason);
        goto fail;
    }
    error = add_kind(classifier, ETH_HLEN, PB_ROW_BY_INDEX, &ethernet);
    if (error) {
        error = explain_load_error(error, reason);
        goto fail;
    }
    error = pins && !classifier->resumed ? pin_maps(classifier, pins) : 0;
    if (error) {
        error = explain_pin_error(error, reason);
        goto fail;
    }
    error = map_shared(classifier);
    if (error) {
        snprintf(reason, LOAD_ERROR_SIZE, "cannot map the shared memory: %s.", strerror(-error));
        goto fail;
    }
    *out = classifier;
    return 0;

fail:
    classifier_close(classifier);
    return error;
}

void classifier_close(struct classifier *classifier) {
    struct kind *next;

    if (!classifier)
        return;
    for (struct kind *kind = classifier->kinds; kind; kind = next) {
        next = kind->next;
        free_kind(kind);
    }
    if (classifier->shared)
        munmap(classifier->shared, sizeof(*classifier->shared));
    close_maps(classifier);
    state_map_unmap(&classifier->state);
    free(classifier);
}

/* ---- using it ---- */

bool classifier_resumed(const struct classifier *classifier) {
    return classifier->resumed;
}

void *classifier_state(struct classifier *classifier) {
    return classifier->state.memory;
}

__u32 classifier_id(const struct classifier *classifier) {
    return classifier->id;
}

struct pb_shared *classifier_shared(struct classifier *classifier) {
    return classifier->shared;
}

int classifier_grace_period(void) {
    /* MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), see kernel/sched/membarrier.c. */
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}
