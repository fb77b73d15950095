/* SPDX-License-Identifier: MIT */
/*
 * What one packet costs, by test_run (section 1), and that what is compared does count:
 *
 *     packet ROUNDS    samples of ns per packet, see bench.h
 *     packet check     TAP: the textbook's counts, and the others', are right
 *
 * Method. In each round every variant has its turn with every number of ports, each time
 * beginning with another variant, so that whatever changes on the machine hits all alike.
 * A turn is a warm-up that visits each port, then one system call of many runs, measured
 * in CPU time of this thread, which is pinned. Each number of ports has maps of its own.
 * The hashes get their ports before, in the order of their numbers: if they got them in the
 * order of the visits, their elements would be visited one after the other, as with no real
 * traffic. Nothing of the kind helps ours, whose counters are in that order, too.
 *
 * One port: the program itself is run, nothing before it. More ports: through the
 * prologue of sequence.bpf.c; one port through it as well, to show what it does to the
 * figures. A packet is IPv4 UDP, 60 bytes.
 *
 * An older revision's classifier takes part if PB_BENCH_OLD names its object, see bench.h; turns.c
 * has a scene for it.
 */
#include "packet.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stores.skel.h"

const char *const variant_names[VARIANTS] = {
    [EMPTY] = "empty program",
    [PARSE] = "parse only",
    [TEXTBOOK] = "textbook (PERCPU_HASH)",
    [HASH] = "HASH, atomic adds",
    [LRU] = "LRU_PERCPU_HASH",
    [ARRAY] = "PERCPU_ARRAY by port",
    [RING] = "ring buffer, an event a packet",
    [OURS] = "tc_portbytes, a counter per port",
    [OURS_DEFAULT] = "tc_portbytes, default settings",
    [OLD] = "old revision, a counter per port",
    [OLD_DEFAULT] = "old revision, default settings",
};

bool is_present(enum variant variant) {
    return (variant != OLD && variant != OLD_DEFAULT) || old_object();
}

struct scene {
    const char *name;
    unsigned first, ports;
    bool sequence; /* through the prologue */
    unsigned repeat;
};

static const struct scene scenes[] = {
    {"1 port", 53, 1, false, 32768},
    {"1 port (prologue)", 53, 1, true, 32768},
    {"4,096 ports", 1024, 4096, true, 4 * 4096},
    {"60,000 random ports", 1000, 60000, true, 65536},
    {"65,536 ports", 0, 65536, true, 65536},
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

struct stage {
    struct stores_bpf *stores;
    struct ring_buffer *ring;
    struct ours ours, ours_default;
    struct old old, old_default;
    int program[VARIANTS];
    __u64 runs[VARIANTS];
};

static __u64 events;

static int on_event(void *context, void *data, size_t size) {
    (void)context;
    (void)data;
    (void)size;
    events++;
    return 0;
}

/* All ports of the scene, with nothing counted. */
static void fill(struct bpf_map *map, const struct scene *scene) {
    void *nothing = calloc(libbpf_num_possible_cpus(), sizeof(__u64[2]));

    if (!nothing)
        die("no memory");
    for (unsigned i = 0; i < scene->ports; i++) {
        __u16 port = scene->first + i;

        if (bpf_map_update_elem(bpf_map__fd(map), &port, nothing, BPF_ANY))
            die("a port cannot be stored: %s", strerror(errno));
    }
    free(nothing);
}

static void build_stage(struct stage *stage, const struct scene *scene) {
    stage->stores = stores_bpf__open_and_load();
    if (!stage->stores)
        die("the stores were refused: %s", strerror(errno));
    stage->ring = ring_buffer__new(bpf_map__fd(stage->stores->maps.events), on_event, NULL, NULL);
    if (!stage->ring)
        die("ring buffer: %s", strerror(errno));
    fill(stage->stores->maps.textbook_ports, scene);
    fill(stage->stores->maps.hash_ports, scene);
    fill(stage->stores->maps.lru_ports, scene);
    ours_every_port(&stage->ours, LOOPBACK, scene->first, scene->ports);
    ours_default(&stage->ours_default, LOOPBACK);
    stage->program[EMPTY] = bpf_program__fd(stage->stores->progs.empty);
    stage->program[PARSE] = bpf_program__fd(stage->stores->progs.parse_only);
    stage->program[TEXTBOOK] = bpf_program__fd(stage->stores->progs.textbook);
    stage->program[HASH] = bpf_program__fd(stage->stores->progs.hash_atomic);
    stage->program[LRU] = bpf_program__fd(stage->stores->progs.lru_percpu);
    stage->program[ARRAY] = bpf_program__fd(stage->stores->progs.array_by_port);
    stage->program[RING] = bpf_program__fd(stage->stores->progs.ring_buffer);
    stage->program[OURS] = stage->ours.ingress;
    stage->program[OURS_DEFAULT] = stage->ours_default.ingress;
    if (old_object()) {
        old_every_port(&stage->old, scene->first, scene->ports);
        old_default(&stage->old_default);
        stage->program[OLD] = stage->old.ingress;
        stage->program[OLD_DEFAULT] = stage->old_default.ingress;
    }
    for (int v = 0; scene->sequence && v < VARIANTS && is_present(v); v++)
        stage->program[v] = sequence_of(stage->program[v], scene->first, scene->ports);
}

static void close_stage(struct stage *stage) {
    ring_buffer__free(stage->ring);
    stores_bpf__destroy(stage->stores);
    ours_close(&stage->ours);
    ours_close(&stage->ours_default);
    if (old_object()) {
        old_close(&stage->old);
        old_close(&stage->old_default);
    }
}

/* Packets that a map of struct traffic has counted. */
static __u64 counted(struct bpf_map *map) {
    enum bpf_map_type type = bpf_map__type(map);
    int fd = bpf_map__fd(map), cpus = type == BPF_MAP_TYPE_HASH ? 1 : libbpf_num_possible_cpus();
    struct {
        __u64 bytes, packets;
    } *values = calloc(cpus, sizeof(*values));
    __u32 key = 0, next = 0, keys = 0;
    __u64 packets = 0;

    if (!values)
        die("no memory");
    while (bpf_map_get_next_key(fd, keys++ ? &key : NULL, &next) == 0) {
        key = next;
        if (bpf_map_lookup_elem(fd, &key, values))
            continue;
        for (int cpu = 0; cpu < cpus; cpu++)
            packets += values[cpu].packets;
    }
    free(values);
    return packets;
}

static __u64 counted_by(const struct stage *stage, enum variant variant) {
    switch (variant) {
    case TEXTBOOK:
        return counted(stage->stores->maps.textbook_ports);
    case HASH:
        return counted(stage->stores->maps.hash_ports);
    case LRU:
        return counted(stage->stores->maps.lru_ports);
    case ARRAY:
        return counted(stage->stores->maps.array_ports);
    case RING:
        return events;
    case OURS:
        return ours_packets(&stage->ours);
    case OURS_DEFAULT:
        return ours_packets(&stage->ours_default);
    case OLD:
        return old_packets(&stage->old);
    case OLD_DEFAULT:
        return old_packets(&stage->old_default);
    default:
        return 0;
    }
}

static void take_turn(struct stage *stage, const struct scene *scene, enum variant variant,
                      const unsigned char *frame, size_t length) {
    unsigned warm = scene->ports > 2048 ? scene->ports : 2048;
    double ns;

    if (!is_present(variant))
        return;
    run(stage->program[variant], frame, length, NULL, warm);
    ns = run(stage->program[variant], frame, length, NULL, scene->repeat);
    stage->runs[variant] += warm + scene->repeat;
    sample(SECTION, scene->name, variant_names[variant], "ns", ns / scene->repeat);
    if (variant == RING) {
        double before = cpu_ns();
        int number = ring_buffer__consume(stage->ring);

        sample(SECTION, scene->name, "  and reading the ring buffer", "ns",
               (cpu_ns() - before) / number);
    }
}

static void by_ports(unsigned rounds) {
    static struct stage stages[SCENES];
    unsigned char frame[FRAME_MOST];
    size_t length = build_frame(frame, UDP4);

    for (unsigned s = 0; s < SCENES; s++)
        build_stage(&stages[s], &scenes[s]);
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned s = 0; s < SCENES; s++)
            for (unsigned v = 0; v < VARIANTS; v++)
                take_turn(&stages[s], &scenes[s], (v + round) % VARIANTS, frame, length);
    for (unsigned s = 0; s < SCENES; s++) {
        for (enum variant v = TEXTBOOK; v < VARIANTS; v++)
            if (v != RING && is_present(v))
                sample("counted", scenes[s].name, variant_names[v], "% of packets",
                       100.0 * counted_by(&stages[s], v) / stages[s].runs[v]);
        close_stage(&stages[s]);
    }
}

/* Other packets than IPv4 UDP: ours alone knows them. */
static void by_kind(unsigned rounds) {
    struct stores_bpf *stores = stores_bpf__open_and_load();
    struct __sk_buff gso = {.gso_size = 100, .gso_segs = 4};
    unsigned char frames[KINDS][FRAME_MOST];
    size_t lengths[KINDS];
    struct ours ours;
    int empty;

    if (!stores)
        die("the stores were refused: %s", strerror(errno));
    empty = bpf_program__fd(stores->progs.empty);
    ours_default(&ours, LOOPBACK);
    for (int kind = 0; kind < KINDS; kind++)
        lengths[kind] = build_frame(frames[kind], kind);
    /* A later fragment finds what the first one left. */
    run(ours.ingress, frames[FIRST_FRAGMENT4], lengths[FIRST_FRAGMENT4], NULL, 1);
    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i <= KINDS; i++) {
            int kind = (i + round) % (KINDS + 1);
            const unsigned char *frame = frames[kind % KINDS];
            size_t length = lengths[kind % KINDS];
            struct __sk_buff *skb = kind == GSO4 ? &gso : NULL;
            int program = kind == KINDS ? empty : ours.ingress;
            const unsigned repeat = 16384;

            run(program, frame, length, skb, 1024);
            sample("kinds", "ns", kind == KINDS ? variant_names[EMPTY] : kind_names[kind], "ns",
                   run(program, frame, length, skb, repeat) / repeat);
        }
    }
    ours_close(&ours);
    stores_bpf__destroy(stores);
}

/* ---- check ---- */

static int tests, failures;

static void ok(bool good, const char *name) {
    printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
    failures += !good;
}

/* Whether the textbook has counted exactly this for a port. */
static bool has(const struct stage *stage, unsigned number, __u64 packets, __u64 bytes) {
    int cpus = libbpf_num_possible_cpus();
    struct {
        __u64 bytes, packets;
    } *values = calloc(cpus, sizeof(*values));
    __u64 got[2] = {0};
    __u16 port = number;

    if (!values)
        die("no memory");
    if (bpf_map_lookup_elem(bpf_map__fd(stage->stores->maps.textbook_ports), &port, values) == 0) {
        for (int cpu = 0; cpu < cpus; cpu++) {
            got[0] += values[cpu].packets;
            got[1] += values[cpu].bytes;
        }
    }
    free(values);
    return got[0] == packets && got[1] == bytes;
}

/* Whether the classifier has counted exactly this on each port, and nothing else. */
static bool ours_has(struct ours *ours, unsigned ports, __u64 packets, __u64 bytes) {
    struct pb_counters *counters = calloc(ours->slots_used, sizeof(*counters));
    bool good = true;

    if (!counters)
        die("no memory");
    ours_read(ours, 0, ours->slots_used, counters);
    for (__u32 i = 0; i < ours->slots_used; i++) {
        bool port = i >= PB_FIXED_SLOTS && i < PB_FIXED_SLOTS + ports;

        good &= counters[i].rx_packets == (port ? packets : 0);
        good &= counters[i].rx_bytes == (port ? bytes : 0);
        good &= counters[i].tx_packets == 0 && counters[i].tx_bytes == 0;
    }
    free(counters);
    return good;
}

static int check(void) {
    const struct scene *all = &scenes[SCENES - 1];
    static const enum kind unknown[] = {TCP6, VLAN4, SCTP4, ICMP4, ARP};
    unsigned char frame[FRAME_MOST];
    size_t length = build_frame(frame, UDP4);
    struct stage stage = {0};
    int textbook;
    bool good = true;

    build_stage(&stage, all);
    textbook = bpf_program__fd(stage.stores->progs.textbook);
    for (enum variant v = 0; v < VARIANTS && is_present(v); v++) {
        run(stage.program[v], frame, length, NULL, 3 * 65536);
        stage.runs[v] = 3 * 65536;
    }
    for (unsigned port = 0; port < 65536; port++)
        good &= has(&stage, port, 3, 3 * length);
    ok(good, "textbook: three rounds through 65,536 ports count 3 on each, to the byte");
    ok(ours_has(&stage.ours, 65536, 3, 3 * length), "tc_portbytes: the same");
    ring_buffer__consume(stage.ring);
    for (enum variant v = HASH; v < VARIANTS; v++) {
        char name[96];

        if (v == LRU || !is_present(v)) /* the former forgets */
            continue;
        snprintf(name, sizeof(name), "%s: as many packets as were sent", variant_names[v]);
        ok(counted_by(&stage, v) == stage.runs[v], name);
    }
    length = build_frame(frame, GSO4);
    run(textbook, frame, length, NULL, 7);
    ok(has(&stage, 443, 10, 3 * build_frame(frame, UDP4) + 7 * length), "textbook: TCP");
    length = build_frame(frame, OPTIONS4);
    run(textbook, frame, length, NULL, 5);
    ok(has(&stage, 53, 8, 3 * build_frame(frame, UDP4) + 5 * length), "textbook: IPv4 options");
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        length = build_frame(frame, unknown[i]);
        run(textbook, frame, length, NULL, 1);
    }
    ok(counted(stage.stores->maps.textbook_ports) == stage.runs[TEXTBOOK] + 12,
       "textbook: knows nothing else");
    close_stage(&stage);
    ok(turns_count(OURS_DEFAULT), "16 interfaces in turn: each has its packets");
    if (old_object())
        ok(turns_count(OLD_DEFAULT), "old revision: the same");
    printf("1..%d\n", tests);
    return failures > 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: packet ROUNDS|check\n");
        return 2;
    }
    pin(1);
    if (!strcmp(argv[1], "check"))
        return check();
    by_ports(strtoul(argv[1], NULL, 10));
    by_kind(strtoul(argv[1], NULL, 10));
    turns_measure(strtoul(argv[1], NULL, 10));
    return 0;
}
