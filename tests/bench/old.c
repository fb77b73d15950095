/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *old_object(void) {
    const char *path = getenv("PB_BENCH_OLD");

    return path && *path ? path : NULL;
}

/* The map of a section, whose name libbpf puts the object's in front of. */
static struct bpf_map *section_map(const struct bpf_object *object, const char *section) {
    struct bpf_map *map;

    bpf_object__for_each_map(map, object) {
        const char *name = strchr(bpf_map__name(map), '.');

        if (name && !strcmp(name, section))
            return map;
    }
    die("%s has no %s", old_object(), section);
}

/* Before loading: a `const volatile __u32`. */
static void set_constant(const struct bpf_object *object, const char *name, __u32 value) {
    const struct btf *btf = bpf_object__btf(object);
    const struct btf_type *section =
        btf__type_by_id(btf, btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC));
    size_t size;
    char *memory = (char *)bpf_map__initial_value(section_map(object, ".rodata"), &size);

    for (int i = 0; section && i < btf_vlen(section); i++) {
        const struct btf_var_secinfo *variable = &btf_var_secinfos(section)[i];
        const struct btf_type *type = btf__type_by_id(btf, variable->type);

        if (strcmp(btf__name_by_offset(btf, type->name_off), name) != 0)
            continue;
        memcpy(memory + variable->offset, &value, sizeof(value));
        return;
    }
    die("%s has no constant %s", old_object(), name);
}

static void old_open(struct old *old, __u32 slots_used) {
    struct bpf_object *object = bpf_object__open_file(old_object(), NULL);
    struct bpf_map *counters, *shared;

    if (!object)
        die("%s: %s", old_object(), strerror(errno));
    counters = bpf_object__find_map_by_name(object, "counters");
    shared = section_map(object, ".bss");
    if (!counters || bpf_map__value_size(shared) != sizeof(*old->shared))
        die("%s is not of a revision with a classifier for each interface", old_object());
    set_constant(object, "slots_per_cpu", slots_used);
    if (bpf_map__set_max_entries(counters, slots_used * libbpf_num_possible_cpus()) ||
        bpf_object__load(object))
        die("%s was refused: %s", old_object(), strerror(errno));
    *old = (struct old){.object = object,
                        .shared = mmap(NULL, sizeof(*old->shared), PROT_READ | PROT_WRITE,
                                       MAP_SHARED, bpf_map__fd(shared), 0),
                        .counters = bpf_map__fd(counters),
                        .slots_used = slots_used};
    if (old->shared == MAP_FAILED)
        die("%s: mapping its memory: %s", old_object(), strerror(errno));
    old->ingress = bpf_program__fd(bpf_object__find_program_by_name(object, "tc_portbytes_in"));
}

void old_default(struct old *old) {
    static const struct slots_layout layout = {.dynamic = 512, .reserved = 512};
    struct port_set folded = {0};

    old_open(old, slots_total(layout));
    if (slots_new(&old->slots, old->shared, layout))
        die("no memory");
    port_set_add_range(&folded, 32768, 60999);
    slots_fold(old->slots, &folded);
}

void old_every_port(struct old *old, unsigned first, unsigned count) {
    old_open(old, PB_FIXED_SLOTS + count);
    for (unsigned i = 0; i < count; i++)
        old->shared->table[PB_KEY(PB_UDP, first + i)] = PB_FIXED_SLOTS + i;
}

__u64 old_packets(const struct old *old) {
    __u32 number = old->slots_used * libbpf_num_possible_cpus();
    __u64 packets = 0;

    for (__u32 i = 0; i < number; i++) {
        struct pb_counters counters;

        if (bpf_map_lookup_elem(old->counters, &i, &counters))
            die("%s: reading a counter: %s", old_object(), strerror(errno));
        packets += counters.rx_packets;
    }
    return packets;
}

void old_close(struct old *old) {
    slots_free(old->slots);
    munmap(old->shared, sizeof(*old->shared));
    bpf_object__close(old->object);
}
