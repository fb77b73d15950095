// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Gives each run of one test_run another destination port, then runs the classifier in
 * `next` on that packet, as it is: the measured program is not recompiled, inlined or
 * otherwise touched. The prologue costs every classifier the same, the empty one too.
 *
 * Ports come in a fixed order without pattern: 1 << bits steps visit every number below
 * that once; then they begin anew. With a count that is no power of two, every port is
 * visited once or twice in that time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} next SEC(".maps");

const volatile __u32 first = 1, count = 1, bits = 0;
__u32 step;

/* Ethernet, IPv4 without options, and the source port. */
#define DESTINATION (sizeof(struct ethhdr) + sizeof(struct iphdr) + 2)

SEC("tc")
int sequence(struct __sk_buff *skb) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 mask = (1u << bits) - 1, n = step++ & mask;

    /* Each of these can be undone, so no two n become one. */
    n = n * 0x9e3779b1u & mask;
    n ^= n >> 7;
    n = n * 0x85ebca6bu & mask;
    n ^= n >> 5;
    if (data + DESTINATION + 2 > end)
        return TC_ACT_SHOT; /* for the caller to see */
    *(__be16 *)(data + DESTINATION) = bpf_htons(first + (n * count >> bits));
    bpf_tail_call(skb, &next, 0);
    return TC_ACT_SHOT; /* there was nothing to call */
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
