/* SPDX-License-Identifier: MIT */
/*
 * Where the classifier counts a packet, its key being right: in whose row, in which lane, and what
 * becomes of a port without a slot. What the settings make of the program. And link layers that
 * test_run doesn't have: of any length. TAP.
 *
 * As the plugin does, it loads the object more than once, and all programs share the maps of the
 * first one. Rows are made for indices as they are needed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity, unshare */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>

#include "../unit/tap.h"
#include "rows.h"
#include "tc_portbytes.h"
#include "tc_portbytes.skel.h"

#define SLOTS (PB_FIXED_SLOTS + 2)
#define OURS  PB_FIXED_SLOTS /* the slot of PORT */
#define FREE  (OURS + 1)     /* in the ring */

#define PORT 53
#define NEW  54 /* a port without a slot */

#define LOOPBACK 1              /* index of the interface that test_run takes if none is given */
#define COLLIDES (1 + PB_ROWS)  /* an index whose row is the loopback's */
#define SPARE    (PB_ROWS + 3u) /* a spare row */

enum direction { IN, EG, DIRECTIONS };

/* Packets. GSO ones are not for the fast path; each stands for SEGMENTS on the wire. */
enum kind { PLAIN, GSO };

#define LENGTH   60
#define SEGMENTS 3

struct row {
    int map;
    size_t size; /* in bytes */
    const volatile struct pb_counters *counters;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list arguments;

    printf("Bail out! ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    exit(2);
}

/* ---- maps and programs ---- */

static struct row make_row(__u32 lanes) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
    __u32 number = SLOTS * (lanes + 1);
    struct row row = {.size = number * sizeof(struct pb_counters)};

    row.map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "row", sizeof(__u32), sizeof(struct pb_counters),
                             number, &opts);
    if (row.map < 0)
        die("making a row: %s", strerror(errno));
    row.counters = mmap(NULL, row.size, PROT_READ, MAP_SHARED, row.map, 0);
    if (row.counters == MAP_FAILED)
        die("mapping a row: %s", strerror(errno));
    return row;
}

static void drop_row(struct row *row) {
    munmap((void *)row->counters, row->size);
    close(row->map);
}

static void publish(const struct tc_portbytes_bpf *skel, __u32 index, const struct row *row) {
    if (bpf_map_update_elem(bpf_map__fd(skel->maps.rows), &index, &row->map, BPF_ANY))
        die("row %u: %s", index, strerror(errno));
}

static void withdraw(const struct tc_portbytes_bpf *skel, __u32 index) {
    if (bpf_map_delete_elem(bpf_map__fd(skel->maps.rows), &index))
        die("row %u: %s", index, strerror(errno));
}

/* To be loaded when its constants are set. */
static struct tc_portbytes_bpf *open_object(__u32 lanes, __u32 fixed_row) {
    struct tc_portbytes_bpf *skel = tc_portbytes_bpf__open();

    if (!skel)
        die("opening the object: %s", strerror(errno));
    skel->rodata->slots_per_lane = SLOTS;
    skel->rodata->lanes = lanes;
    skel->rodata->fixed_row = fixed_row;
    return skel;
}

/* `first`: whose maps it shares; NULL: it is the first one, and has a slot for PORT. */
static void load_object(struct tc_portbytes_bpf *skel, const struct tc_portbytes_bpf *first) {
    struct row like = make_row(skel->rodata->lanes);
    int err;

    if (first) {
        err = bpf_map__reuse_fd(skel->maps.rows, bpf_map__fd(first->maps.rows));
        if (!err)
            err = bpf_map__reuse_fd(skel->maps.ring_lock, bpf_map__fd(first->maps.ring_lock));
        if (!err)
            err = bpf_map__reuse_fd(skel->maps.fragments, bpf_map__fd(first->maps.fragments));
        if (!err)
            err = bpf_map__reuse_fd(skel->maps.bss, bpf_map__fd(first->maps.bss));
    } else {
        err = prepare_rows(skel->maps.rows, like.map);
    }
    if (!err)
        err = tc_portbytes_bpf__load(skel);
    if (err)
        die("loading the object: %s", strerror(-err));
    drop_row(&like);
    if (!first)
        skel->bss->shared.table[PB_KEY(PB_UDP, PORT)] = OURS;
}

static struct tc_portbytes_bpf *load(__u32 lanes, __u32 fixed_row,
                                     const struct tc_portbytes_bpf *first) {
    struct tc_portbytes_bpf *skel = open_object(lanes, fixed_row);

    load_object(skel, first);
    return skel;
}

static int program_of(const struct tc_portbytes_bpf *skel, enum direction direction) {
    return bpf_program__fd(direction == IN ? skel->progs.tc_portbytes_in
                                           : skel->progs.tc_portbytes_eg);
}

/* ---- packets ---- */

/* From `port` to `port`, so that its key is the same in both directions. */
static void build(unsigned char frame[LENGTH], int protocol, __u16 port) {
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64};

    ip.protocol = (__u8)protocol;
    ip.tot_len = htons(LENGTH - ETH_HLEN);
    memset(frame, 0, LENGTH);
    frame[12] = ETH_P_IP >> 8;
    frame[13] = ETH_P_IP & 0xff;
    memcpy(frame + ETH_HLEN, &ip, sizeof(ip));
    for (size_t at = ETH_HLEN + sizeof(ip); at < ETH_HLEN + sizeof(ip) + 4; at += 2) {
        frame[at] = (unsigned char)(port >> 8);
        frame[at + 1] = (unsigned char)port;
    }
}

static void run_program(int program, __u32 interface, const unsigned char *frame, __u32 length,
                        enum kind kind, int repeat, __u32 mark) {
    struct __sk_buff context = {.ifindex = interface, .mark = mark};
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = length,
                .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = repeat);

    if (kind == GSO) {
        context.gso_size = 10;
        context.gso_segs = SEGMENTS;
    }
    if (bpf_prog_test_run_opts(program, &opts))
        die("test_run on interface %u: %s", interface, strerror(errno));
    if ((int)opts.retval != TC_ACT_UNSPEC)
        die("the verdict is %d", (int)opts.retval);
}

static void run(const struct tc_portbytes_bpf *skel, enum direction direction, __u32 interface,
                const unsigned char frame[LENGTH], enum kind kind, int repeat) {
    run_program(program_of(skel, direction), interface, frame, LENGTH, kind, repeat, 0);
}

static void run_port(const struct tc_portbytes_bpf *skel, enum direction direction, __u32 interface,
                     int protocol, __u16 port, enum kind kind) {
    unsigned char frame[LENGTH];

    build(frame, protocol, port);
    run(skel, direction, interface, frame, kind, 1);
}

/* One packet of PORT of each kind and direction: WAYS packets. */
#define WAYS (2 * (1 + SEGMENTS))

static void run_all_ways(const struct tc_portbytes_bpf *skel, __u32 interface) {
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        for (enum kind kind = PLAIN; kind <= GSO; kind++)
            run_port(skel, direction, interface, IPPROTO_UDP, PORT, kind);
}

/* Packets of both directions in slots [from, to) of a row. */
static __u64 packets(const struct row *row, __u32 from, __u32 to) {
    __u64 sum = 0;

    for (__u32 i = from; i < to; i++)
        sum += row->counters[i].rx_packets + row->counters[i].tx_packets;
    return sum;
}

static __u64 in_slot(const struct row *row, __u32 slot) {
    return packets(row, slot, slot + 1);
}

static __u64 in_all(const struct row *row) {
    return packets(row, 0, row->size / sizeof(struct pb_counters));
}

/* ---- CPUs ---- */

static int cpu[2]; /* two that we may use, in ascending order; the second is -1 if there is none */

static void find_cpus(void) {
    cpu_set_t allowed;
    int found = 0;

    if (sched_getaffinity(0, sizeof(allowed), &allowed))
        die("CPUs: %s", strerror(errno));
    cpu[1] = -1;
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &allowed))
            cpu[found++] = i;
}

static void pin(int number) {
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(number, &one);
    if (sched_setaffinity(0, sizeof(one), &one))
        die("CPU %d: %s", number, strerror(errno));
}

/* ---- tests ---- */

static void skip(const char *name, const char *reason) {
    printf("ok %u - %s # SKIP %s\n", ++tap_number, name, reason);
}

static void test_no_row(void) {
    struct tc_portbytes_bpf *skel = load(1, PB_ROW_BY_INDEX, NULL);
    struct pb_shared *shared = &skel->bss->shared;
    struct row row = make_row(1);

    pin(cpu[0]);
    shared->ring[0] = FREE;
    shared->tail = 1;
    publish(skel, LOOPBACK, &row);
    withdraw(skel, LOOPBACK);
    run_all_ways(skel, 0);
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        for (enum kind kind = PLAIN; kind <= GSO; kind++)
            run_port(skel, direction, 0, IPPROTO_UDP, NEW, kind);
    is_u64(in_all(&row), 0, "without a row nothing is counted");
    ok(shared->head == 0 && shared->ring[0] == FREE && shared->key_of[FREE] == 0 &&
           shared->table[PB_KEY(PB_UDP, NEW)] == 0,
       "without a row no slot is taken");

    publish(skel, LOOPBACK, &row);
    run_all_ways(skel, 0);
    is_u64(in_slot(&row, OURS), WAYS, "with a row a port is counted in its slot");
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        run_port(skel, direction, 0, IPPROTO_UDP, NEW, PLAIN);
    ok(shared->head == 1 && shared->ring[0] == 0 && shared->key_of[FREE] == PB_KEY(PB_UDP, NEW) &&
           shared->table[PB_KEY(PB_UDP, NEW)] == FREE,
       "with a row a new port takes the free slot");
    is_u64(in_slot(&row, FREE), 2, "and is counted in it, the first packet too");

    run_port(skel, IN, 0, IPPROTO_TCP, NEW, PLAIN);
    run_port(skel, EG, 0, IPPROTO_UDP, NEW + 1, PLAIN);
    run_port(skel, EG, 0, IPPROTO_UDP, NEW + 1, GSO);
    run_port(skel, IN, 0, IPPROTO_SCTP, NEW, PLAIN);
    ok(in_slot(&row, PB_SLOT_OTHER(PB_TCP)) == 1 &&
           in_slot(&row, PB_SLOT_OTHER(PB_UDP)) == 1 + SEGMENTS &&
           in_slot(&row, PB_SLOT_OTHER(PB_SCTP)) == 1,
       "without a free slot new ports are counted in their transport's other");
    is_u64(in_all(&row), WAYS + 2 + 1 + 1 + SEGMENTS + 1, "and nothing is counted elsewhere");
    drop_row(&row);
    tc_portbytes_bpf__destroy(skel);
}

/* An interface with this index; -1: there is no such device to be had. It goes with the file. */
static int open_interface(int index) {
    struct ifreq request = {.ifr_name = "pb0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd >= 0 && (ioctl(fd, TUNSETIFINDEX, &index) || ioctl(fd, TUNSETIFF, &request))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void test_fixed_row(void) {
    struct tc_portbytes_bpf *by_index = load(1, PB_ROW_BY_INDEX, NULL),
                            *fixed = load(1, SPARE, by_index);
    struct row row = make_row(1), spare = make_row(1);
    __u64 before;
    int interface;

    pin(cpu[0]);
    publish(by_index, LOOPBACK, &row);
    run_all_ways(fixed, 0);
    is_u64(in_all(&row), 0, "a program of a spare row counts nothing before that is there");
    publish(by_index, SPARE, &spare);
    run_all_ways(fixed, 0);
    is_u64(in_slot(&spare, OURS), WAYS, "then it counts there, in the slots that all share");
    is_u64(in_all(&row), 0, "and not in the row of the interface's index");

    interface = open_interface(COLLIDES);
    if (interface < 0) {
        skip("two interfaces that share a row's index", "no tap device with a given index");
    } else {
        before = in_all(&spare);
        run_all_ways(by_index, COLLIDES);
        is_u64(in_slot(&row, OURS), WAYS, "interface %u has the row of interface %u", COLLIDES,
               LOOPBACK);
        run_all_ways(fixed, COLLIDES);
        ok(in_all(&row) == WAYS && in_slot(&spare, OURS) == before + WAYS,
           "with a program of a spare row it has its own");
        close(interface);
    }
    drop_row(&row);
    drop_row(&spare);
    tc_portbytes_bpf__destroy(fixed);
    tc_portbytes_bpf__destroy(by_index);
}

/* The programs know `lanes`; number is one of cpu[], whose packets have to be in `lane`. */
static void test_lane(__u32 lanes, int number, __u32 lane, const char *what) {
    struct tc_portbytes_bpf *skel = load(lanes, PB_ROW_BY_INDEX, NULL);
    struct row row = make_row(lanes);

    publish(skel, LOOPBACK, &row);
    pin(number);
    run_all_ways(skel, 0);
    if (!ok(in_slot(&row, SLOTS * lane + OURS) == WAYS && in_all(&row) == WAYS,
            "with `lanes` %u CPU %d counts in %s", lanes, number, what))
        for (__u32 i = 0; i <= lanes; i++)
            diag("lane %u has %llu", i, in_slot(&row, SLOTS * i + OURS));
    drop_row(&row);
    tc_portbytes_bpf__destroy(skel);
}

static void test_lanes(void) {
    __u32 first = (__u32)cpu[0], second = (__u32)cpu[1];

    test_lane(second + 1, cpu[0], first, "a lane of its own");
    test_lane(second + 1, cpu[1], second, "a lane of its own");
    test_lane(second, cpu[0], first, "a lane of its own");
    test_lane(second, cpu[1], second, "the last lane, which is shared");
    test_lane(0, cpu[1], 0, "the last lane, which is shared");
}

#define ROUNDS 100
#define REPEAT 1000 /* of each kind, in each round */

static const struct tc_portbytes_bpf *contended;

static void *contend(void *number) {
    unsigned char frame[LENGTH];

    pin(*(int *)number);
    build(frame, IPPROTO_UDP, PORT);
    for (int round = 0; round < ROUNDS; round++)
        for (enum direction direction = IN; direction < DIRECTIONS; direction++)
            for (enum kind kind = PLAIN; kind <= GSO; kind++)
                run(contended, direction, 0, frame, kind, REPEAT);
    return NULL;
}

static void test_shared_lane(void) {
    static const __u64 runs = 2ull * ROUNDS * REPEAT; /* of each kind and direction */
    struct tc_portbytes_bpf *skel = load(0, PB_ROW_BY_INDEX, NULL);
    struct row row = make_row(0);
    struct pb_counters got;
    pthread_t threads[2];
    __u64 bytes;

    publish(skel, LOOPBACK, &row);
    contended = skel;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, contend, &cpu[i]))
            die("no thread");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    memcpy(&got, (const void *)&row.counters[OURS], sizeof(got));
    /* A header of Ethernet, IPv4 and UDP for each segment but one. */
    bytes = runs * (2 * LENGTH + (SEGMENTS - 1) * (ETH_HLEN + 20 + 8));
    ok(got.rx_packets == runs * (1 + SEGMENTS) && got.tx_packets == got.rx_packets &&
           got.rx_bytes == bytes && got.tx_bytes == bytes,
       "CPU %d and %d at once, in one lane: %llu packets and %llu bytes each way are exact", cpu[0],
       cpu[1], runs * (1 + SEGMENTS), bytes);
    diag("got rx %llu and %llu, tx %llu and %llu", got.rx_packets, got.rx_bytes, got.tx_packets,
         got.tx_bytes);
    is_u64(in_all(&row), 2 * runs * (1 + SEGMENTS), "and nothing is counted elsewhere");
    drop_row(&row);
    tc_portbytes_bpf__destroy(skel);
}

/* ---- the program that the settings make ---- */

/* What its instructions are, as the verifier left them. */
struct census {
    unsigned atomic_adds;
    unsigned stores; /* of 8 bytes, not to the stack: what plain adds end with */
    unsigned calls;
};

#define INSTRUCTIONS_MAX 4096
#define FUNCTIONS_MAX    32

static void count_instruction(struct census *census, const struct bpf_insn *insn) {
    /* clang 21 wants the result even where nobody does. */
    if (insn->code == (BPF_STX | BPF_ATOMIC | BPF_DW) && (insn->imm & ~BPF_FETCH) == BPF_ADD)
        census->atomic_adds++;
    else if (insn->code == (BPF_STX | BPF_MEM | BPF_DW) && insn->dst_reg != BPF_REG_10)
        census->stores++;
    else if (insn->code == (BPF_JMP | BPF_CALL))
        census->calls++;
}

/* Of the entry function, in which the fast path is, and of the others. */
static void take_census(const struct tc_portbytes_bpf *skel, enum direction direction,
                        struct census *entry, struct census *others) {
    static struct bpf_insn insns[INSTRUCTIONS_MAX];
    struct bpf_func_info functions[FUNCTIONS_MAX];
    struct bpf_prog_info info = {
        .xlated_prog_insns = (__u64)(unsigned long)insns,
        .xlated_prog_len = sizeof(insns),
        .func_info = (__u64)(unsigned long)functions,
        .nr_func_info = FUNCTIONS_MAX,
        .func_info_rec_size = sizeof(functions[0]),
    };
    __u32 length = sizeof(info), number, end;

    if (bpf_obj_get_info_by_fd(program_of(skel, direction), &info, &length))
        die("reading the program: %s", strerror(errno));
    number = info.xlated_prog_len / sizeof(insns[0]);
    if (info.nr_func_info < 2 || number > INSTRUCTIONS_MAX)
        die("%u instructions in %u functions", number, info.nr_func_info);
    end = functions[1].insn_off;
    *entry = *others = (struct census){0};
    for (__u32 i = 0; i < number; i++)
        count_instruction(i < end ? entry : others, &insns[i]);
}

static void test_atomic_adds(void) {
    struct tc_portbytes_bpf *plain = load(1, PB_ROW_BY_INDEX, NULL),
                            *atomic = open_object(1, PB_ROW_BY_INDEX);
    struct census fast, slow, atomic_fast, atomic_slow;
    struct row row = make_row(1);

    atomic->rodata->atomic_adds = 1;
    load_object(atomic, plain);
    publish(plain, LOOPBACK, &row);
    pin(cpu[0]);
    run_all_ways(atomic, 0);
    ok(in_slot(&row, OURS) == WAYS && in_all(&row) == WAYS,
       "with atomic adds, counts are the same");
    for (enum direction direction = IN; direction < DIRECTIONS; direction++) {
        const char *name = direction == IN ? "ingress" : "egress";

        take_census(plain, direction, &fast, &slow);
        take_census(atomic, direction, &atomic_fast, &atomic_slow);
        ok(fast.atomic_adds == 0 && fast.stores == 2,
           "%s: without atomic_adds, the fast path has two plain adds", name);
        diag("%u atomic, %u stores", fast.atomic_adds, fast.stores);
        ok(atomic_fast.atomic_adds == 2 && atomic_fast.stores == 0,
           "%s: with atomic_adds, it has two atomic ones", name);
        diag("%u atomic, %u stores", atomic_fast.atomic_adds, atomic_fast.stores);
        ok(slow.stores > 1 && atomic_slow.stores == 0, "%s: nor has the slow path a plain one then",
           name);
        diag("%u atomic, %u stores; %u atomic, %u stores", slow.atomic_adds, slow.stores,
             atomic_slow.atomic_adds, atomic_slow.stores);
    }
    drop_row(&row);
    tc_portbytes_bpf__destroy(atomic);
    tc_portbytes_bpf__destroy(plain);
}

/*
 * That a packet was decrypted can't be told to test_run: tests/system has real ones. These weren't.
 */
static void test_ipsec(void) {
    struct tc_portbytes_bpf *skel = load(1, PB_ROW_BY_INDEX, NULL);
    struct pb_shared *shared = &skel->bss->shared;
    struct row row = make_row(1);

    publish(skel, LOOPBACK, &row);
    pin(cpu[0]);
    shared->table[PB_KEY_DECRYPTED] = PB_SLOT_DECRYPTED;
    shared->table[PB_KEY_IP(IPPROTO_ESP)] = PB_SLOT_IP(IPPROTO_ESP);
    shared->ipsec = 1;
    run_all_ways(skel, 0);
    is_u64(in_slot(&row, OURS), WAYS, "with IPsec states, what wasn't decrypted is as ever");
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        run_port(skel, direction, 0, IPPROTO_ESP, PORT, PLAIN);
    is_u64(in_slot(&row, PB_SLOT_IP(IPPROTO_ESP)), 2, "and ESP is");
    is_u64(in_all(&row), WAYS + 2, "and nothing is counted elsewhere");
    drop_row(&row);
    tc_portbytes_bpf__destroy(skel);
}

/* Of a program with these constants; the others are as in `first`, whose maps it shares. */
static unsigned count_calls(const struct tc_portbytes_bpf *first, enum direction direction,
                            __u32 l2_len, __u32 has_xfrm) {
    struct tc_portbytes_bpf *skel = open_object(1, PB_ROW_BY_INDEX);
    struct census entry, others;

    skel->rodata->l2_len = l2_len;
    skel->rodata->has_xfrm = has_xfrm;
    load_object(skel, first);
    take_census(skel, direction, &entry, &others);
    tc_portbytes_bpf__destroy(skel);
    return entry.calls + others.calls;
}

/* Who asks for an IPsec state: there is a call more for each. */
static void test_asking(void) {
    struct tc_portbytes_bpf *skel = load(1, PB_ROW_BY_INDEX, NULL);

    is_u64(count_calls(skel, IN, ETH_HLEN, 1), count_calls(skel, IN, ETH_HLEN, 0) + 2,
           "both paths ask for an IPsec state, unless the kernel has no IPsec");
    is_u64(count_calls(skel, EG, ETH_HLEN, 1), count_calls(skel, EG, ETH_HLEN, 0) + 1,
           "in egress only the one that ingress has, too");
    is_u64(count_calls(skel, IN, PB_L2_FOREIGN, 1), count_calls(skel, IN, PB_L2_XFRM, 1) + 2,
           "on an xfrm interface neither does, where on others without L2 both do");
    tc_portbytes_bpf__destroy(skel);
}

/* ---- link layers ---- */

#define INSN(operation, to, from, constant)                                                        \
    { .code = (operation), .dst_reg = (to), .src_reg = (from), .imm = (constant) }

/* A program that puts skb->mark bytes in front of a packet and then runs another one. */
struct prologue {
    int program;
    int programs; /* the map of the other one; it is emptied when it is closed */
};

static struct prologue load_prologue(int program) {
    int programs = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "program", 4, 4, 1, NULL), fd;
    const __u32 zero = 0;
    struct bpf_insn insns[] = {
        INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0),
        {.code = BPF_LDX | BPF_MEM | BPF_W,
         .dst_reg = BPF_REG_2,
         .src_reg = BPF_REG_1,
         .off = offsetof(struct __sk_buff, mark)},
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0),
        INSN(BPF_JMP | BPF_CALL, 0, 0, BPF_FUNC_skb_change_head),
        INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0),
        INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, programs),
        INSN(0, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0),
        INSN(BPF_JMP | BPF_CALL, 0, 0, BPF_FUNC_tail_call),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, TC_ACT_SHOT),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0),
    };

    if (programs < 0 || bpf_map_update_elem(programs, &zero, &program, BPF_ANY))
        die("an array of programs: %s", strerror(errno));
    fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "prologue", "GPL", insns,
                       sizeof(insns) / sizeof(insns[0]), NULL);
    if (fd < 0)
        die("the prologue: %s", strerror(errno));
    return (struct prologue){.program = fd, .programs = programs};
}

#define LONGER 1000 /* than LENGTH, and than what is searched for L3 */

/*
 * A frame of `size` bytes, with `more` in front of its Ethernet header; they are the link layer's
 * then. Bytes that were counted are those before L3, if these count at all, and the others.
 */
static bool check_l2(const struct prologue prologues[DIRECTIONS], const struct row *row, __u32 size,
                     __u32 more, bool counted) {
    const __u64 l3 = ETH_HLEN + more, header = (counted ? l3 : 0) + 20 + 8; /* IPv4, UDP */
    const __u64 length = (counted ? l3 : 0) + size - ETH_HLEN;
    struct pb_counters was, is;
    unsigned char frame[LONGER] = {0};

    build(frame, IPPROTO_UDP, PORT);
    memcpy(&was, (const void *)&row->counters[OURS], sizeof(was));
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        for (enum kind kind = PLAIN; kind <= GSO; kind++)
            run_program(prologues[direction].program, 0, frame, size, kind, 1, more);
    memcpy(&is, (const void *)&row->counters[OURS], sizeof(is));
    return is.rx_packets - was.rx_packets == 1 + SEGMENTS &&
           is.tx_packets - was.tx_packets == 1 + SEGMENTS &&
           is.rx_bytes - was.rx_bytes == 2 * length + (SEGMENTS - 1) * header &&
           is.tx_bytes - was.tx_bytes == is.rx_bytes - was.rx_bytes;
}

static void test_l2(__u32 l2_len, bool counted, const char *what) {
    struct tc_portbytes_bpf *skel = open_object(1, PB_ROW_BY_INDEX);
    struct row row = make_row(1);
    unsigned right = 0, wrong = 0;
    struct prologue prologues[DIRECTIONS];

    skel->rodata->l2_len = l2_len;
    load_object(skel, NULL);
    publish(skel, LOOPBACK, &row);
    pin(cpu[0]);
    for (enum direction direction = IN; direction < DIRECTIONS; direction++)
        prologues[direction] = load_prologue(program_of(skel, direction));
    for (__u32 more = 0; ETH_HLEN + more < 256; more++) {
        if (check_l2(prologues, &row, LENGTH, more, counted) &&
            check_l2(prologues, &row, LONGER, more, counted))
            right++;
        else if (wrong++ < 5)
            diag("%u bytes", ETH_HLEN + more);
    }
    ok(right == 256 - ETH_HLEN && wrong == 0, "a link layer of %u to 255 bytes: %s", ETH_HLEN,
       what);
    for (enum direction direction = IN; direction < DIRECTIONS; direction++) {
        close(prologues[direction].program);
        close(prologues[direction].programs);
    }
    drop_row(&row);
    tc_portbytes_bpf__destroy(skel);
}

int main(void) {
    if (geteuid() != 0) {
        printf("1..0 # SKIP only root may load the classifier\n");
        return 0;
    }
    if (unshare(CLONE_NEWNET))
        die("no network namespace: %s", strerror(errno));
    find_cpus();
    test_no_row();
    test_fixed_row();
    test_atomic_adds();
    test_ipsec();
    test_asking();
    test_l2(PB_L2_UNKNOWN, true, "all is counted");
    test_l2(PB_L2_FOREIGN, false, "a foreign one is not");
    test_l2(PB_L2_XFRM, false, "nor is xfrm's");
    if (cpu[1] >= 0) {
        test_lanes();
        test_shared_lane();
    } else {
        skip("lanes", "one CPU");
    }
    return tap_end();
}
