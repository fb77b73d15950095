/* SPDX-License-Identifier: MIT */
/*
 * Runs frames through the classifier and checks under which key each one was
 * counted. What to expect comes with the frame; this program knows nothing of
 * packets.
 *
 * How it attributes a packet: all keys of the port table name the slot WRONG.
 * For the duration of one run the expected key names a slot of its own instead,
 * so after the run that slot must have risen by exactly the packet, and nothing
 * else may have moved. A batch of runs, each with its own slot, needs one
 * look-up of the counters.
 *
 * A run must also leave the frame and the skb's context alone, and return
 * TC_ACT_UNSPEC, so that other classifiers get their say.
 *
 * What test_run refuses (more than about a page; on newer kernels also IP
 * packets shorter than their header) goes through a tap or tun device in a
 * network namespace of its own instead, past the same programs. --device sends
 * everything that way: then the kernel moves the outer VLAN tag out of arriving
 * packets. --split does, too, and leaves most of each arriving packet in page
 * fragments, cut at ever different places. --tun sends everything through a device without link
 * layer, of which the program isn't told.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/sockios.h>

#include "rows.h"
#include "tc_portbytes.h"
#include "tc_portbytes.skel.h"

#define WRONG  PB_FIXED_SLOTS
#define PROBES (WRONG + 1)
#define BATCH  1024
#define SLOTS  (PROBES + BATCH)

#define LOOPBACK 1 /* index of the interface that test_run takes if none is given */

#define LONGEST_FRAME 65536
#define LONGEST_LIVE  65000 /* a tap device's MTU is at most 65,521 */
#define MOST_REPORTED 10
#define MOST_DUMPED   192

enum direction { IN, EG, DIRECTIONS };

/* What comes on the standard input, followed by length bytes; see kernel.py. */
enum record_type { RECORD_FRAME, RECORD_SOURCE };

struct record {
    __u32 type;
    __u32 length;
    __u32 number; /* of the frame in its source */
    __u16 directions;
    __u16 forget; /* empty the memory of first fragments before this frame */
    __u32 key[DIRECTIONS];
    __u32 packets[DIRECTIONS];
    __u32 gso_size;
    __u32 gso_segs;
    __u32 wire_len;
    __u32 unused;
    __u64 bytes[DIRECTIONS];
};

/* A run whose counters have yet to be read. */
struct run {
    struct record record;
    enum direction direction;
    unsigned char *frame;
    char *source;
};

static struct tc_portbytes_bpf *skel;
static int program[DIRECTIONS];
static int fragments;
static int row = -1; /* one for all interfaces */
static __u32 lanes;
static __u32 l2_len = ETH_HLEN;

static bool has_device, only_device, split, without_l2;
static int device = -1, device_socket = -1, device_index;

static struct run runs[BATCH];
static unsigned int pending;
static struct pb_counters before[SLOTS], after[SLOTS];
static const struct pb_counters *counters; /* of the row, as the classifier writes them */

static char source[4096] = "?";
static unsigned long frames, done, on_device, refused, differences;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list args;

    va_start(args, format);
    fputs("replay: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

/* Diagnostics go to standard error, as TAP comments. */
__attribute__((format(printf, 2, 3))) static void differs(const struct run *run, const char *format,
                                                          ...) {
    const struct record *r = &run->record;
    va_list args;

    if (++differences > MOST_REPORTED)
        return;
    fprintf(stderr, "# %s, frame %u, %s: ", run->source, r->number,
            run->direction == IN ? "ingress" : "egress");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n#   %u bytes", r->length);
    if (r->gso_size != 0)
        fprintf(stderr, ", gso_size %u, gso_segs %u, wire_len %u", r->gso_size, r->gso_segs,
                r->wire_len);
    for (__u32 i = 0; i < r->length && i < MOST_DUMPED; i++)
        fprintf(stderr, "%s%02x", i % 16 == 0 ? "\n#   " : " ", run->frame[i]);
    fputc('\n', stderr);
}

static const char *key_name(__u32 key) {
    static const char *const transport[PB_TRANSPORTS] = {"tcp", "udp", "sctp"};
    static char names[2][32];
    static int turn;
    char *name = names[turn ^= 1];

    if (key < PB_PORT_KEYS)
        snprintf(name, sizeof(names[0]), "%s %u", transport[key / PB_PORTS], key % PB_PORTS);
    else if (key == PB_KEY_DECRYPTED)
        snprintf(name, sizeof(names[0]), "decrypted");
    else if (key < PB_KEY_NONIP)
        snprintf(name, sizeof(names[0]), "ip %u", key - PB_PORT_KEYS);
    else
        snprintf(name, sizeof(names[0]), "nonip");
    return name;
}

/* Sums the counters of all slots over all lanes into out. */
static void read_counters(struct pb_counters out[SLOTS]) {
    memset(out, 0, SLOTS * sizeof(*out));
    for (__u32 i = 0; i < SLOTS * (lanes + 1); i++) {
        const volatile struct pb_counters *one = &counters[i];
        struct pb_counters *sum = &out[i % SLOTS];

        sum->rx_bytes += one->rx_bytes;
        sum->rx_packets += one->rx_packets;
        sum->tx_bytes += one->tx_bytes;
        sum->tx_packets += one->tx_packets;
    }
}

/* From now on the classifier counts the packets of this interface. */
static void publish_row(__u32 interface) {
    __u32 index = interface & (PB_ROWS - 1);

    if (bpf_map_update_elem(bpf_map__fd(skel->maps.rows), &index, &row, BPF_ANY) != 0)
        die("the row of interface %u: %s", interface, strerror(errno));
}

static struct pb_counters risen(__u32 slot) {
    return (struct pb_counters){
        .rx_bytes = after[slot].rx_bytes - before[slot].rx_bytes,
        .rx_packets = after[slot].rx_packets - before[slot].rx_packets,
        .tx_bytes = after[slot].tx_bytes - before[slot].tx_bytes,
        .tx_packets = after[slot].tx_packets - before[slot].tx_packets,
    };
}

/* Marks the context, so that a write to it would show. */
static int run_frame(const struct run *run, void *out, struct __sk_buff *context_out,
                     struct bpf_test_run_opts *opts) {
    struct __sk_buff context = {
        .mark = 0x5ca1ab1e,
        .priority = 7,
        .cb = {2, 3, 5, 7, 11},
        .gso_size = run->record.gso_size,
        .gso_segs = run->record.gso_segs,
        .wire_len = run->record.wire_len,
    };

    *opts = (struct bpf_test_run_opts){
        .sz = sizeof(*opts),
        .data_in = run->frame,
        .data_size_in = run->record.length,
        .data_out = out,
        .data_size_out = LONGEST_FRAME,
        .ctx_in = &context,
        .ctx_size_in = sizeof(context),
        .ctx_out = context_out,
        .ctx_size_out = sizeof(*context_out),
    };
    if (bpf_prog_test_run_opts(program[run->direction], opts) != 0)
        return -errno;
    return 0;
}

static void write_sysctl(const char *path, const char *value) {
    int fd = open(path, O_WRONLY);

    if (fd < 0)
        return; /* no IPv6 in this kernel, nothing to be silenced */
    if (write(fd, value, strlen(value)) < 0)
        die("%s: %s", path, strerror(errno));
    close(fd);
}

/* false: there is no such device to be had. */
static bool open_device(void) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
    struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 0};
    struct ifreq request = {.ifr_name = "pb0"};
    int err;

    if (unshare(CLONE_NEWNET) != 0)
        return false;
    device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (device < 0)
        return false;
    /* The kernel must have nothing to say of its own, in either direction. */
    write_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    write_sysctl("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    request.ifr_flags = without_l2 ? IFF_TUN : IFF_TAP | IFF_NO_PI;
    if (split)
        request.ifr_flags |= IFF_NAPI | IFF_NAPI_FRAGS;
    if (ioctl(device, TUNSETIFF, &request) != 0)
        return false;
    device_socket = socket(AF_PACKET, SOCK_RAW, 0);
    if (device_socket < 0 || ioctl(device_socket, SIOCGIFINDEX, &request) != 0)
        return false;
    device_index = request.ifr_ifindex;
    publish_row((__u32)device_index);
    /* GRO would gather the headers again, and merge packets. */
    request.ifr_data = (char *)&gro;
    if (split && ioctl(device_socket, SIOCETHTOOL, &request) != 0)
        return false;
    request.ifr_mtu = LONGEST_LIVE;
    if (ioctl(device_socket, SIOCSIFMTU, &request) != 0)
        return false;
    request.ifr_flags = IFF_UP;
    if (ioctl(device_socket, SIOCSIFFLAGS, &request) != 0)
        return false;

    hook.ifindex = device_index;
    err = bpf_tc_hook_create(&hook);
    for (enum direction d = IN; d < DIRECTIONS && err == 0; d++) {
        LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program[d]);

        hook.attach_point = d == IN ? BPF_TC_INGRESS : BPF_TC_EGRESS;
        err = bpf_tc_attach(&hook, &opts);
    }
    return err == 0;
}

/*
 * Has the frame received in two or three pieces: a linear part that ends
 * anywhere in the first 100 bytes, and page fragments, at most a page each.
 */
static ssize_t write_split(const struct run *run) {
    unsigned char *at = run->frame;
    size_t left = run->record.length, first = ETH_HLEN + run->record.number % 87, second;
    struct iovec pieces[3];
    int n = 0;

    /* One piece alone would wait for a soft interrupt. */
    if (first >= left)
        first = left - 1;
    pieces[n++] = (struct iovec){at, first};
    at += first;
    left -= first;
    second = 1 + run->record.number / 87 % 31;
    if (second < left) {
        pieces[n++] = (struct iovec){at, second};
        at += second;
        left -= second;
    }
    pieces[n++] = (struct iovec){at, left};
    return writev(device, pieces, n);
}

/* Sends one frame past the programs in a device. What went out must come out. */
static void run_on_device(const struct run *run) {
    static unsigned char buffer[LONGEST_FRAME + sizeof(struct tun_pi)];
    __u16 protocol = (__u16)(run->frame[12] << 8 | run->frame[13]);
    size_t before_packet = without_l2 ? sizeof(struct tun_pi) : 0;
    size_t length = before_packet + run->record.length;
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol < ETH_P_802_3_MIN ? ETH_P_802_2 : protocol),
        .sll_ifindex = device_index,
        .sll_halen = ETH_ALEN,
    };
    struct tun_pi info = {.proto = to.sll_protocol};
    struct pollfd ready = {.fd = device, .events = POLLIN};
    ssize_t got;

    if (run->direction == IN) {
        memcpy(buffer, &info, before_packet);
        memcpy(buffer + before_packet, run->frame, run->record.length);
        got = split ? write_split(run) : write(device, buffer, length);
        if (got != (ssize_t)length)
            die("%s, frame %u: tap: %s", run->source, run->record.number, strerror(errno));
        return;
    }
    if (sendto(device_socket, run->frame, run->record.length, 0, (struct sockaddr *)&to,
               sizeof(to)) != (ssize_t)run->record.length)
        die("%s, frame %u: packet socket: %s", run->source, run->record.number, strerror(errno));
    got = poll(&ready, 1, 1000) == 1 ? read(device, buffer, sizeof(buffer)) : -1;
    if (got != (ssize_t)length ||
        memcmp(buffer + before_packet, run->frame, run->record.length) != 0)
        differs(run, "the frame did not come out as it was");
}

/* 0, or a negative errno if the frame could not be run. */
static int deliver(const struct run *run) {
    static unsigned char out[LONGEST_FRAME];
    const struct record *r = &run->record;
    struct bpf_test_run_opts opts;
    struct __sk_buff context;
    int err = only_device ? -EINVAL : run_frame(run, out, &context, &opts);

    if ((err == -EINVAL || err == -EMSGSIZE) && has_device && r->gso_size == 0 &&
        r->length >= ETH_HLEN && r->length <= LONGEST_LIVE) {
        run_on_device(run);
        on_device++;
        return 0;
    }
    if (err != 0)
        return err;
    if ((int)opts.retval != TC_ACT_UNSPEC)
        differs(run, "the verdict is %d", (int)opts.retval);
    if (opts.data_size_out != r->length || memcmp(out, run->frame, r->length) != 0)
        differs(run, "the frame was changed");
    if (context.mark != 0x5ca1ab1e || context.priority != 7 || context.cb[0] != 2 ||
        context.cb[1] != 3 || context.cb[2] != 5 || context.cb[3] != 7 || context.cb[4] != 11 ||
        context.tstamp != 0 || context.gso_size != r->gso_size || context.gso_segs != r->gso_segs)
        differs(run, "the context was changed");
    return 0;
}

/*
 * For the report only: which key the kernel counts this frame under. It is run
 * again and again, each run halves the range. The memory of first fragments may
 * have moved on since; then this can err, the verdict does not.
 */
static __u32 find_key(const struct run *run) {
    volatile __u32 *table = skel->bss->shared.table;
    __u32 low = 0, high = PB_KEYS;

    while (high - low > 1) {
        __u32 middle = low + (high - low) / 2;
        struct pb_counters was, is;

        for (__u32 key = low; key < middle; key++)
            table[key] = PROBES;
        read_counters(after);
        was = after[PROBES];
        deliver(run);
        read_counters(after);
        is = after[PROBES];
        for (__u32 key = low; key < middle; key++)
            table[key] = WRONG;
        if (is.rx_packets + is.tx_packets != was.rx_packets + was.tx_packets)
            high = middle;
        else
            low = middle;
    }
    return low;
}

/* Reads the counters and compares all runs since the last time. */
static void settle(void) {
    bool wrong[BATCH] = {false};
    bool any = false;

    if (pending == 0)
        return;
    read_counters(after);
    for (unsigned int i = 0; i < pending; i++) {
        const struct record *r = &runs[i].record;
        enum direction d = runs[i].direction;
        struct pb_counters expected = {
            .rx_bytes = d == IN ? r->bytes[d] : 0,
            .rx_packets = d == IN ? r->packets[d] : 0,
            .tx_bytes = d == EG ? r->bytes[d] : 0,
            .tx_packets = d == EG ? r->packets[d] : 0,
        };
        struct pb_counters got = risen(PROBES + i);

        wrong[i] = memcmp(&expected, &got, sizeof(got)) != 0;
        any |= wrong[i];
    }
    for (__u32 slot = 0; slot < SLOTS; slot++) {
        struct pb_counters got = risen(slot), none = {0};

        if (slot < PROBES + pending && slot >= PROBES)
            continue;
        if (memcmp(&got, &none, sizeof(got)) == 0 || any)
            continue;
        differs(&runs[pending - 1], "up to here slot %u rose by %llu/%llu bytes in no one's name",
                slot, got.rx_bytes, got.tx_bytes);
    }
    for (unsigned int i = 0; i < pending; i++) {
        const struct record *r = &runs[i].record;
        enum direction d = runs[i].direction;
        struct pb_counters got = risen(PROBES + i);

        if (!wrong[i])
            continue;
        if (differences >= MOST_REPORTED) {
            differences++;
            continue;
        }
        if (got.rx_packets + got.tx_packets == 0) {
            static struct pb_counters keep[SLOTS];
            __u32 key;

            memcpy(keep, after, sizeof(keep));
            key = find_key(&runs[i]);
            memcpy(after, keep, sizeof(keep));
            differs(&runs[i], "expected %s, run again it is %s", key_name(r->key[d]),
                    key_name(key));
        } else {
            differs(&runs[i],
                    "%s, expected %u packets and %llu bytes, "
                    "got rx %llu and %llu, tx %llu and %llu",
                    key_name(r->key[d]), r->packets[d], r->bytes[d], got.rx_packets, got.rx_bytes,
                    got.tx_packets, got.tx_bytes);
        }
    }
    if (any)
        read_counters(after);
    memcpy(before, after, sizeof(before));
    for (unsigned int i = 0; i < pending; i++) {
        free(runs[i].frame);
        free(runs[i].source);
    }
    pending = 0;
}

static void forget_fragments(void) {
    unsigned char key[256];

    while (bpf_map_get_next_key(fragments, NULL, key) == 0)
        if (bpf_map_delete_elem(fragments, key) != 0 && errno != ENOENT)
            die("emptying the memory of fragments: %s", strerror(errno));
}

static void check(const struct record *record, const unsigned char *frame,
                  enum direction direction) {
    volatile __u32 *table = skel->bss->shared.table;
    struct run *run = &runs[pending];
    int err;

    *run = (struct run){.record = *record, .direction = direction};
    if (record->key[direction] >= PB_KEYS)
        die("%s, frame %u: no such key: %u", source, record->number, record->key[direction]);
    run->frame = malloc(record->length);
    run->source = strdup(source);
    if (run->frame == NULL || run->source == NULL)
        die("no memory");
    memcpy(run->frame, frame, record->length);

    table[record->key[direction]] = PROBES + pending;
    err = deliver(run);
    table[record->key[direction]] = WRONG;
    if (err == -EINVAL || err == -EMSGSIZE) {
        refused++;
        free(run->frame);
        free(run->source);
        return;
    }
    if (err != 0)
        die("%s, frame %u, %u bytes: test_run: %s", source, record->number, record->length,
            strerror(-err));
    done++;
    if (++pending == BATCH)
        settle();
}

static void replay(FILE *in) {
    static unsigned char data[LONGEST_FRAME];
    struct record record;

    while (fread(&record, sizeof(record), 1, in) == 1) {
        if (record.length > sizeof(data) ||
            (record.length != 0 && fread(data, record.length, 1, in) != 1))
            die("%s: broken record", source);
        if (record.type == RECORD_SOURCE) {
            snprintf(source, sizeof(source), "%.*s", (int)record.length, (char *)data);
            continue;
        }
        frames++;
        if (record.forget)
            forget_fragments();
        for (enum direction d = IN; d < DIRECTIONS; d++)
            if (record.directions & 1u << d)
                check(&record, data, d);
    }
    if (ferror(in))
        die("reading records: %s", strerror(errno));
    settle();
}

/* The shortest and the longest frame of test_run, the longest that can be sent. */
static void print_limits(void) {
    static unsigned char frame[LONGEST_FRAME], out[LONGEST_FRAME];
    struct run run = {.frame = frame, .direction = IN};
    struct bpf_test_run_opts opts;
    struct __sk_buff context;
    __u32 shortest = 1, low, high = sizeof(frame);

    do
        run.record.length = shortest;
    while (run_frame(&run, out, &context, &opts) != 0 && ++shortest < 256);
    for (low = shortest; high - low > 1;) {
        run.record.length = low + (high - low) / 2;
        if (run_frame(&run, out, &context, &opts) == 0)
            low = run.record.length;
        else
            high = run.record.length;
    }
    printf("%u %u %u\n", shortest, low, has_device ? LONGEST_LIVE : low);
}

static void load(const char *count_by) {
    static const struct {
        const char *name;
        enum pb_port port[DIRECTIONS];
    } policies[] = {
        {"local", {PB_PORT_DESTINATION, PB_PORT_SOURCE}},
        {"remote", {PB_PORT_SOURCE, PB_PORT_DESTINATION}},
        {"destination", {PB_PORT_DESTINATION, PB_PORT_DESTINATION}},
        {"source", {PB_PORT_SOURCE, PB_PORT_SOURCE}},
        {"lower", {PB_PORT_LOWER, PB_PORT_LOWER}},
    };
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
    size_t n = sizeof(policies) / sizeof(policies[0]), policy = 0;
    int cpus, err;

    while (policy < n && strcmp(policies[policy].name, count_by) != 0)
        policy++;
    if (policy == n)
        die("CountBy %s?", count_by);
    skel = tc_portbytes_bpf__open();
    if (skel == NULL)
        die("opening the object: %s", strerror(errno));
    skel->rodata->l2_len = l2_len;
    skel->rodata->ingress_port = policies[policy].port[IN];
    skel->rodata->egress_port = policies[policy].port[EG];
    cpus = libbpf_num_possible_cpus();
    if (cpus <= 0)
        die("number of CPUs: %s", strerror(-cpus));
    lanes = (__u32)cpus;
    skel->rodata->slots_per_lane = SLOTS;
    skel->rodata->lanes = lanes;
    row = bpf_map_create(BPF_MAP_TYPE_ARRAY, "row", sizeof(__u32), sizeof(struct pb_counters),
                         SLOTS * (lanes + 1), &opts);
    if (row < 0)
        die("making a row: %s", strerror(errno));
    err = prepare_rows(skel->maps.rows, row);
    if (err == 0)
        err = tc_portbytes_bpf__load(skel);
    if (err != 0)
        die("loading the object: %s", strerror(-err));
    program[IN] = bpf_program__fd(skel->progs.tc_portbytes_in);
    program[EG] = bpf_program__fd(skel->progs.tc_portbytes_eg);
    fragments = bpf_map__fd(skel->maps.fragments);
    for (__u32 key = 0; key < PB_KEYS; key++)
        skel->bss->shared.table[key] = WRONG;
    counters =
        mmap(NULL, (size_t)SLOTS * (lanes + 1) * sizeof(*counters), PROT_READ, MAP_SHARED, row, 0);
    if (counters == MAP_FAILED)
        die("mapping the row: %s", strerror(errno));
    publish_row(LOOPBACK);
    read_counters(before);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"l2-len", required_argument, NULL, 'l'},
        {"count-by", required_argument, NULL, 'c'},
        {"device", no_argument, NULL, 'd'},
        {"split", no_argument, NULL, 's'},
        {"limits", no_argument, NULL, 'm'},
        {"tun", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    const char *count_by = "local";
    bool limits = false;
    cpu_set_t here;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            l2_len = (__u32)strtoul(optarg, NULL, 10);
            without_l2 = l2_len == 0;
            break;
        case 'c':
            count_by = optarg;
            break;
        case 's':
            split = true;
            only_device = true;
            break;
        case 'd':
            only_device = true;
            break;
        case 't':
            without_l2 = true;
            only_device = true;
            break;
        case 'm':
            limits = true;
            break;
        default:
            fprintf(stderr, "usage: replay [--l2-len BYTES] [--count-by POLICY] "
                            "[--device | --split | --tun] [--limits] < RECORDS\n");
            return 2;
        }
    }
    /* One CPU, so that the memory of fragments has one list of free entries. */
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof(here), &here);

    load(count_by);
    has_device = open_device();
    if (only_device && !has_device)
        die("no tap device");
    if (limits) {
        print_limits();
        return 0;
    }
    replay(stdin);
    printf("%lu frames, %lu runs, %lu differences, %lu on_device, %lu refused\n", frames, done,
           differences, on_device, refused);
    tc_portbytes_bpf__destroy(skel);
    return differences != 0;
}
