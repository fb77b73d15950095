// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The least that a counter by port can cost: the classifier's own parser, the one load of
 * its table, an add to one per-CPU counter. What the classifier takes beyond this is its own
 * doing; what this takes with many ports, and not with one, is the memory of the machine.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "access.h"
#include "parse.h"
#include "tc_portbytes.h"

const volatile __u32 l2_len = ETH_HLEN;
const volatile __u32 ingress_port = PB_PORT_DESTINATION;
const volatile __u32 egress_port = PB_PORT_SOURCE;

struct pb_shared shared;

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct pb_counters);
} floor_counter SEC(".maps");

SEC("tc")
int floor_load(struct __sk_buff *skb) {
    struct pb_counters *counter;
    struct packet_key packet;
    __u32 zero = 0, slot;

    if (!fast_key(skb, 0, &packet))
        return TC_ACT_UNSPEC;
    slot = READ_ONCE(*PB_ELEMENT(shared.table, packet.key));
    asm volatile("" : : "r"(slot));
    counter = bpf_map_lookup_elem(&floor_counter, &zero);
    if (counter) {
        counter->rx_bytes += skb->len;
        counter->rx_packets++;
    }
    return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
