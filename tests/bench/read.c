/* SPDX-License-Identifier: MIT */
/*
 * What one read costs (section 4), and the memory of the maps (section 5):
 *
 *     read time INTERFACE ACTIVE MAX_PORTS ROUNDS [COMMAND]
 *     read calls INTERFACE ACTIVE MAX_PORTS      for strace, which counts what stands
 *                                                between the calls of getppid
 *     read memory
 *
 * The plugin's read is monitor_read, all of it but collectd's part: listening sockets,
 * attachments, counters, the ledger, one call for each series. ACTIVE ports carried
 * something before each read, by test_run. Beside it the counters alone; the textbook's
 * map, with as many ports in it, key by key, and by batch look-up; and COMMAND, which
 * gets the id of the textbook's map appended.
 */
#include "bench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor.h"
#include "stores.skel.h"

#define SECOND 1000000000ull

struct value {
    __u64 bytes, packets;
};

struct setting {
    const char *interface, *command;
    unsigned active, max_ports;
    char name[64]; /* of the case */
    int cpus;
    struct settings settings;
    struct monitor *monitor;
    struct ours plain; /* only its counters are read */
    struct stores_bpf *stores;
    int ours, textbook;
    struct value *values;
    __u16 *keys;
    struct pb_counters *counters;
    unsigned series;
};

static int spawn(pthread_t *thread, void *(*routine)(void *), void *argument, const char *name) {
    (void)name;
    return pthread_create(thread, NULL, routine, argument);
}

static void start(struct setting *setting, __u64 min_bytes) {
    if (config_defaults(&setting->settings) ||
        selection_add(setting->settings.interfaces, setting->interface, NULL, 0))
        die("no memory");
    setting->settings.max_ports = setting->max_ports;
    setting->settings.min_bytes = min_bytes;
    if (monitor_start(&setting->monitor, &setting->settings, spawn))
        die("the plugin does not start");
    setting->ours = sequence_of(own_program("tc_portbytes_in"), 1, setting->active);
}

static void stop(struct setting *setting) {
    monitor_stop(setting->monitor);
    config_free(&setting->settings);
    setting->monitor = NULL;
}

static void on_series(void *context, const char *interface, const char *instance,
                      const struct pb_counters *total) {
    struct setting *setting = context;

    (void)interface;
    (void)instance;
    (void)total;
    setting->series++;
}

/* Something for every active port. */
static void traffic(const struct setting *setting) {
    unsigned char frame[FRAME_MOST];
    struct __sk_buff skb = {.ifindex = if_nametoindex(setting->interface)};
    size_t length = build_frame(frame, UDP4);
    unsigned all = 1u << sequence_bits(setting->active);

    run(setting->ours, frame, length, &skb, all);
    run(setting->textbook, frame, length, NULL, all);
}

/* ---- the ways to read ---- */

static void read_plugin(struct setting *setting) {
    setting->series = 0;
    monitor_read(setting->monitor, SECOND, on_series, setting);
}

/* As the plugin, which leaves out slots without an owner. */
static void read_counters(struct setting *setting) {
    ours_read(&setting->plain, 0, PB_FIXED_SLOTS + setting->active, setting->counters);
}

static __u64 sum(const struct setting *setting, const struct value *values) {
    __u64 packets = 0;

    for (int cpu = 0; cpu < setting->cpus; cpu++)
        packets += values[cpu].packets;
    return packets;
}

static void read_key_by_key(struct setting *setting) {
    int map = bpf_map__fd(setting->stores->maps.textbook_ports);
    __u16 key = 0, next;
    unsigned number = 0;

    while (bpf_map_get_next_key(map, number ? &key : NULL, &next) == 0) {
        key = next;
        if (bpf_map_lookup_elem(map, &key, setting->values) == 0)
            number += sum(setting, setting->values) != 0;
    }
    if (number != setting->active)
        die("%u ports in the textbook's map instead of %u", number, setting->active);
}

static void read_hash_batch(struct setting *setting) {
    int map = bpf_map__fd(setting->stores->maps.textbook_ports), error;
    unsigned number = 0;
    __u32 position;

    do {
        __u32 some = 4096;

        error = bpf_map_lookup_batch(map, number ? &position : NULL, &position, setting->keys,
                                     setting->values, &some, NULL);
        if (error && error != -ENOENT)
            die("batch look-up: %s", strerror(-error));
        for (__u32 i = 0; i < some; i++)
            number += sum(setting, setting->values + (size_t)i * setting->cpus) != 0;
    } while (!error);
    if (number != setting->active)
        die("%u ports in the textbook's map instead of %u", number, setting->active);
}

static void read_by_command(struct setting *setting) {
    char command[512];
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);

    if (bpf_obj_get_info_by_fd(bpf_map__fd(setting->stores->maps.textbook_ports), &info, &length))
        die("no map id");
    snprintf(command, sizeof(command), "%s %u >/dev/null", setting->command, info.id);
    if (system(command) != 0)
        die("%s failed", setting->command);
}

static const struct way {
    const char *name;
    void (*read)(struct setting *setting);
} ways[] = {
    {"tc_portbytes, the whole read", read_plugin},
    {"  of which the counters", read_counters},
    {"PERCPU_HASH, key by key", read_key_by_key},
    {"PERCPU_HASH, batch look-up", read_hash_batch},
    {"PERCPU_HASH, bpftool -j | python3", read_by_command},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* The textbook's program and map, and on request the per-CPU array; nothing else. */
static struct stores_bpf *open_stores(bool array) {
    struct stores_bpf *stores = stores_bpf__open();
    struct bpf_program *program;
    struct bpf_map *map;

    if (!stores)
        die("the stores were refused: %s", strerror(errno));
    bpf_object__for_each_program(program, stores->obj)
        bpf_program__set_autoload(program, program == stores->progs.textbook);
    bpf_object__for_each_map(map, stores->obj) bpf_map__set_autocreate(
        map, map == stores->maps.textbook_ports || (array && map == stores->maps.array_ports));
    if (stores_bpf__load(stores))
        die("the stores were refused: %s", strerror(errno));
    return stores;
}

static void prepare(struct setting *setting) {
    setting->cpus = libbpf_num_possible_cpus();
    snprintf(setting->name, sizeof(setting->name), "%u active ports, MaxPorts %u, %d CPUs",
             setting->active, setting->max_ports, setting->cpus);
    setting->stores = open_stores(false);
    setting->textbook =
        sequence_of(bpf_program__fd(setting->stores->progs.textbook), 1, setting->active);
    ours_every_port(&setting->plain, LOOPBACK, 1, setting->max_ports);
    setting->counters = calloc(setting->plain.slots_used, sizeof(*setting->counters));
    setting->values = calloc((size_t)4096 * setting->cpus, sizeof(*setting->values));
    setting->keys = calloc(4096, sizeof(*setting->keys));
    if (!setting->counters || !setting->values || !setting->keys)
        die("no memory");
}

static void clean(struct setting *setting) {
    free(setting->counters);
    free(setting->values);
    free(setting->keys);
    ours_close(&setting->plain);
    stores_bpf__destroy(setting->stores);
}

/* Until every active port is a series. */
static void bring_up(struct setting *setting) {
    for (int i = 0; i < 3; i++) {
        traffic(setting);
        read_plugin(setting);
    }
    if (setting->series < setting->active)
        die("%u series instead of %u", setting->series, setting->active);
}

/*
 * New ports that stay too quiet for a series: a read that takes slots of theirs back. It does only
 * while fewer than half are free.
 */
static void time_recycling(struct setting *setting, unsigned rounds) {
    if (setting->active <= setting->max_ports / 2)
        return;
    start(setting, 1ull << 53);
    for (unsigned round = 0; round < rounds; round++) {
        double wall_before, cpu_before;

        traffic(setting);
        read_plugin(setting); /* they carried something */
        read_plugin(setting); /* idle now: victims */
        wall_before = wall();
        cpu_before = cpu_ns();
        read_plugin(setting); /* unlinked */
        sample("read", setting->name, "tc_portbytes, a read that recycles slots", "ms",
               (wall() - wall_before) * 1e3);
        sample("read-cpu", setting->name, "tc_portbytes, a read that recycles slots", "ms",
               (cpu_ns() - cpu_before) / 1e6);
    }
    stop(setting);
}

static void time_reads(struct setting *setting, unsigned rounds) {
    unsigned number = setting->command ? WAYS : WAYS - 1;

    start(setting, 0);
    bring_up(setting);
    for (unsigned round = 0; round < rounds; round++) {
        traffic(setting);
        for (unsigned i = 0; i < number; i++) {
            const struct way *way = &ways[(i + round) % number];
            double wall_before, cpu_before;

            if (way->read == read_by_command && round >= 5) /* slow, and slow enough to be exact */
                continue;
            wall_before = wall();
            cpu_before = cpu_ns();
            way->read(setting);
            sample("read", setting->name, way->name, "ms", (wall() - wall_before) * 1e3);
            if (way->read != read_by_command)
                sample("read-cpu", setting->name, way->name, "ms", (cpu_ns() - cpu_before) / 1e6);
        }
    }
    stop(setting);
}

static void mark(void) {
    (void)!getppid();
}

static void show_calls(struct setting *setting) {
    start(setting, 0);
    bring_up(setting);
    traffic(setting);
    mark();
    for (unsigned i = 0; i < WAYS - 1; i++) {
        ways[i].read(setting);
        mark();
    }
    stop(setting);
    for (unsigned i = 0; i < WAYS - 1; i++) /* after all marks: the names of what is between */
        printf("%s\t%s\n", setting->name, ways[i].name);
}

/* ---- memory ---- */

/* Unpublished counters: publishing closes the descriptor by which their memory is seen. */
static void show_memory_of(const char *name, __u32 max_ports) {
    /* With ListeningPorts, the default: twice. */
    const struct slots_layout layout = {.dynamic = max_ports, .reserved = max_ports};
    struct classifier_settings settings = {
        .ingress = true, .egress = true, .slots = slots_total(layout), .lanes = classifier_lanes()};
    size_t before = own_memory(), shared;
    char variant[64], reason[LOAD_ERROR_SIZE];
    struct classifier *classifier;
    struct counters *counters;

    if (classifier_open(&classifier, &settings, NULL, reason))
        die("%s", reason);
    shared = own_memory() - before;
    if (counters_open(&counters, classifier, LOOPBACK, NULL))
        die("no counters");
    snprintf(variant, sizeof(variant), "tc_portbytes, MaxPorts %u, once", max_ports);
    sample("memory", name, variant, "KiB", shared / 1024.0);
    snprintf(variant, sizeof(variant), "tc_portbytes, MaxPorts %u, each interface", max_ports);
    sample("memory", name, variant, "KiB", (own_memory() - before - shared) / 1024.0);
    counters_close(counters);
    classifier_close(classifier);
}

static void show_memory(void) {
    static const unsigned max_ports[] = {16, 512, 1024, 4096, 32768};
    int cpus = libbpf_num_possible_cpus();
    struct stores_bpf *stores = open_stores(true);
    char name[64];

    snprintf(name, sizeof(name), "%d CPUs", cpus);
    sample("memory", name, "textbook's map, 65,536 ports", "KiB",
           fd_memory(bpf_map__fd(stores->maps.textbook_ports)) / 1024.0);
    sample("memory", name, "PERCPU_ARRAY by port", "KiB",
           fd_memory(bpf_map__fd(stores->maps.array_ports)) / 1024.0);
    for (unsigned i = 0; i < sizeof(max_ports) / sizeof(max_ports[0]); i++)
        show_memory_of(name, max_ports[i]);
    stores_bpf__destroy(stores);
}

int main(int argc, char **argv) {
    struct setting setting = {0};
    bool calls = argc == 5 && !strcmp(argv[1], "calls");

    libbpf_set_print(NULL);
    if (argc == 2 && !strcmp(argv[1], "memory")) {
        show_memory();
        return 0;
    }
    if (!calls && (argc < 6 || strcmp(argv[1], "time") != 0)) {
        fprintf(stderr, "usage: read time INTERFACE ACTIVE MAX_PORTS ROUNDS [COMMAND]\n"
                        "       read calls INTERFACE ACTIVE MAX_PORTS\n"
                        "       read memory\n");
        return 2;
    }
    setting.interface = argv[2];
    setting.active = strtoul(argv[3], NULL, 10);
    setting.max_ports = strtoul(argv[4], NULL, 10);
    prepare(&setting);
    if (calls) {
        show_calls(&setting);
    } else {
        setting.command = argc > 6 ? argv[6] : NULL;
        time_reads(&setting, strtoul(argv[5], NULL, 10));
        time_recycling(&setting, 5);
    }
    clean(&setting);
    return 0;
}
