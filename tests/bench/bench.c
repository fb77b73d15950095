/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "sequence.skel.h"

void die(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* What the plugin's modules say. */
void pb_log(int priority, const char *format, ...) {
    va_list arguments;

    if (priority > LOG_WARNING)
        return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void sample(const char *section, const char *name, const char *variant, const char *unit,
            double value) {
    printf("%s\t%s\t%s\t%s\t%.9g\n", section, name, variant, unit, value);
}

static double seconds_of(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

double wall(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double cpu_ns(void) {
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) * 1e9;
}

void pin(int number) {
    cpu_set_t cpus, one;

    if (sched_getaffinity(0, sizeof(cpus), &cpus))
        return;
    number %= CPU_COUNT(&cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &cpus) || number--)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one);
        return;
    }
}

/* ---- packets ---- */

const char *const kind_names[KINDS] = {
    [UDP4] = "IPv4 UDP",
    [TCP6] = "IPv6 TCP",
    [VLAN4] = "one VLAN tag in the packet",
    [QINQ4] = "two VLAN tags in the packet",
    [OPTIONS4] = "IPv4 options",
    [FIRST_FRAGMENT4] = "IPv4 first fragment",
    [LATER_FRAGMENT4] = "IPv4 later fragment",
    [HOPBYHOP6] = "IPv6 hop-by-hop header",
    [GSO4] = "IPv4 TCP, GSO",
    [SCTP4] = "IPv4 SCTP",
    [ICMP4] = "IPv4 ICMP",
    [ARP] = "ARP",
};

static size_t put(unsigned char *frame, size_t at, const void *data, size_t length) {
    memcpy(frame + at, data, length);
    return at + length;
}

static size_t put16(unsigned char *frame, size_t at, unsigned value) {
    __be16 be = htons(value);

    return put(frame, at, &be, sizeof(be));
}

static int transport_of(enum kind kind) {
    switch (kind) {
    case TCP6:
    case GSO4:
        return IPPROTO_TCP;
    case SCTP4:
        return IPPROTO_SCTP;
    case ICMP4:
        return IPPROTO_ICMP;
    default:
        return IPPROTO_UDP;
    }
}

size_t build_frame(unsigned char frame[FRAME_MOST], enum kind kind) {
    bool v6 = kind == TCP6 || kind == HOPBYHOP6;
    int transport = transport_of(kind);
    unsigned payload = kind == GSO4 ? 400 : 18;
    size_t at = 0;

    memset(frame, 0, FRAME_MOST);
    at = put(frame, at, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
    if (kind == QINQ4)
        at = put(frame, at, "\x88\xa8\0\x07", 4);
    if (kind == VLAN4 || kind == QINQ4)
        at = put(frame, at, "\x81\x00\0\x05", 4);
    at = put16(frame, at, kind == ARP ? ETH_P_ARP : v6 ? ETH_P_IPV6 : ETH_P_IP);
    if (kind == ARP) {
        at = put(frame, at, "\0\x01\x08\0\x06\x04\0\x01", 8);
        return at + 38;
    }
    if (v6) {
        struct ip6_hdr ip = {.ip6_hlim = 64};

        ip.ip6_flow = htonl(6u << 28);
        ip.ip6_nxt = kind == HOPBYHOP6 ? IPPROTO_HOPOPTS : transport;
        ip.ip6_plen = htons(20 + payload);
        ip.ip6_src.s6_addr[15] = 1;
        ip.ip6_dst.s6_addr[15] = 2;
        at = put(frame, at, &ip, sizeof(ip));
        if (kind == HOPBYHOP6) {
            at = put(frame, at, "\x11\0\x01\x04\0\0\0\0", 8);
        }
    } else {
        struct iphdr ip = {.version = 4, .ihl = kind == OPTIONS4 ? 6 : 5, .ttl = 64};

        ip.protocol = transport;
        ip.tot_len = htons(ip.ihl * 4 + 20 + payload);
        ip.id = htons(77);
        if (kind == FIRST_FRAGMENT4)
            ip.frag_off = htons(IP_MF);
        if (kind == LATER_FRAGMENT4)
            ip.frag_off = htons(100);
        ip.saddr = htonl(0x0a630001);
        ip.daddr = htonl(0x0a630002);
        at = put(frame, at, &ip, sizeof(ip));
        if (kind == OPTIONS4)
            at = put(frame, at, "\x01\x01\x01\x00", 4);
    }
    at = put16(frame, at, 40000);
    at = put16(frame, at, transport == IPPROTO_UDP ? 53 : 443);
    if (transport == IPPROTO_TCP)
        frame[at + 8] = 5 << 4;
    return at + 16 + payload;
}

unsigned run_briefly(int program, const unsigned char *frame, size_t length, struct __sk_buff *skb,
                     unsigned repeat) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .ctx_in = skb,
                .ctx_size_in = skb ? sizeof(*skb) : 0, .repeat = repeat);

    if (bpf_prog_test_run_opts(program, &options))
        die("test_run: %s", strerror(errno));
    if (options.retval != (__u32)-1)
        die("a program answered %d instead of TC_ACT_UNSPEC", (int)options.retval);
    return options.duration;
}

double run(int program, const unsigned char *frame, size_t length, struct __sk_buff *skb,
           unsigned repeat) {
    double before = cpu_ns();

    run_briefly(program, frame, length, skb, repeat);
    return cpu_ns() - before;
}

/* ---- programs ---- */

unsigned sequence_bits(unsigned count) {
    unsigned bits = 0;

    while (1u << bits < count)
        bits++;
    return bits;
}

int sequence_of(int program, unsigned first, unsigned count) {
    struct sequence_bpf *object = sequence_bpf__open(); /* stays until the program ends */
    __u32 zero = 0;

    if (!object)
        die("sequence: %s", strerror(errno));
    object->rodata->first = first;
    object->rodata->count = count;
    object->rodata->bits = sequence_bits(count);
    if (sequence_bpf__load(object) ||
        bpf_map_update_elem(bpf_map__fd(object->maps.next), &zero, &program, BPF_ANY))
        die("sequence: %s", strerror(errno));
    return bpf_program__fd(object->progs.sequence);
}

/* Calls for each descriptor that this process has; some are above the soft limit. */
static void for_each_descriptor(void (*call)(int fd, void *context), void *context) {
    DIR *entries = opendir("/proc/self/fd");
    struct dirent *entry;

    if (!entries)
        die("/proc/self/fd: %s", strerror(errno));
    while ((entry = readdir(entries)))
        if (entry->d_name[0] != '.')
            call(atoi(entry->d_name), context);
    closedir(entries);
}

struct search {
    const char *name;
    __u32 latest; /* id */
    int found;
};

static void match_program(int fd, void *context) {
    struct search *search = context;
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);
    char path[64], target[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof(target) - 1) < 0 || !strstr(target, "bpf-prog"))
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) || strcmp(info.name, search->name) != 0)
        return;
    if (info.id > search->latest) {
        search->latest = info.id;
        search->found = fd;
    }
}

int own_program(const char *name) {
    struct search search = {.name = name, .found = -1};

    for_each_descriptor(match_program, &search);
    if (search.found < 0)
        die("no program %s is open here", name);
    return search.found;
}

size_t fd_memory(int fd) {
    char path[64], line[128];
    unsigned long long bytes = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "memlock: %llu", &bytes) == 1)
            break;
    fclose(file);
    return bytes;
}

static void add_memory(int fd, void *context) {
    size_t *bytes = context;

    *bytes += fd_memory(fd);
}

size_t own_memory(void) {
    size_t bytes = 0;

    for_each_descriptor(add_memory, &bytes);
    return bytes;
}

/* ---- the classifier ---- */

static void ours_open(struct ours *ours, int interface, __u32 slots_used) {
    struct classifier_settings settings = {.ingress_port = PB_PORT_DESTINATION,
                                           .egress_port = PB_PORT_SOURCE,
                                           .ingress = true,
                                           .egress = true,
                                           .slots = slots_used,
                                           .lanes = classifier_lanes()};
    struct program *programs[DIRECTIONS];
    char reason[LOAD_ERROR_SIZE];

    *ours = (struct ours){.slots_used = slots_used};
    if (classifier_open(&ours->classifier, &settings, NULL, reason) ||
        classifier_programs(ours->classifier, ETH_HLEN, PB_ROW_BY_INDEX, programs, reason))
        die("%s", reason);
    ours->shared = classifier_shared(ours->classifier);
    ours->ingress = programs[INGRESS]->fd;
    ours->egress = programs[EGRESS]->fd;
    ours_add_interface(ours, interface);
}

void ours_add_interface(struct ours *ours, int interface) {
    struct counters **counters = &ours->counters[ours->interfaces];
    int error;

    if (ours->interfaces == OURS_INTERFACES)
        die("too many interfaces");
    error = counters_open(counters, ours->classifier, interface, NULL);
    if (!error)
        error = counters_publish(counters, 1);
    if (error)
        die("counters: %s", strerror(-error));
    ours->interfaces++;
}

void ours_default(struct ours *ours, int interface) {
    static const struct slots_layout layout = {.dynamic = 512, .reserved = 512};
    struct port_set folded = {0};

    ours_open(ours, interface, slots_total(layout));
    if (slots_new(&ours->slots, ours->shared, layout))
        die("no memory");
    port_set_add_range(&folded, 32768, 60999);
    slots_fold(ours->slots, &folded);
}

void ours_every_port(struct ours *ours, int interface, unsigned first, unsigned count) {
    ours_open(ours, interface, PB_FIXED_SLOTS + count);
    for (unsigned i = 0; i < count; i++)
        ours->shared->table[PB_KEY(PB_UDP, first + i)] = PB_FIXED_SLOTS + i;
}

void ours_read(const struct ours *ours, unsigned interface, __u32 number,
               struct pb_counters *counters) {
    static __u32 all[PB_FIXED_SLOTS + PB_PORTS];

    if (!all[1])
        for (__u32 i = 0; i < sizeof(all) / sizeof(all[0]); i++)
            all[i] = i;
    counters_read(ours->counters[interface], all, number, counters);
}

__u64 ours_packets_of(const struct ours *ours, unsigned interface) {
    struct pb_counters *counters = calloc(ours->slots_used, sizeof(*counters));
    __u64 packets = 0;

    if (!counters)
        die("no memory");
    ours_read(ours, interface, ours->slots_used, counters);
    for (__u32 slot = 0; slot < ours->slots_used; slot++)
        packets += counters[slot].rx_packets;
    free(counters);
    return packets;
}

__u64 ours_packets(const struct ours *ours) {
    __u64 packets = 0;

    for (unsigned i = 0; i < ours->interfaces; i++)
        packets += ours_packets_of(ours, i);
    return packets;
}

void ours_close(struct ours *ours) {
    slots_free(ours->slots);
    for (unsigned i = 0; i < ours->interfaces; i++) {
        counters_withdraw(ours->counters[i]);
        counters_close(ours->counters[i]);
    }
    classifier_close(ours->classifier);
}
