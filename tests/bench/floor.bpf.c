// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The least that a counter by port can cost: the classifier's own parser, the one load of
 * its table, an add to one per-CPU counter. What the classifier takes beyond this is its own
 * doing; what this takes with many ports, and not with one, is the memory of the machine.
 */
#include "tc_portbytes.bpf.c" /* in bpf/ */

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct pb_counters);
} floor_counter SEC(".maps");

SEC("tc")
int floor_load(struct __sk_buff *skb) {
    struct pb_counters *counter;
    struct found found;
    __u32 zero = 0, slot;

    if (!fast_key(skb, 0, &found))
        return TC_ACT_UNSPEC;
    slot = SHARED(*PB_ELEMENT(shared.table, found.key));
    asm volatile("" : : "r"(slot));
    counter = bpf_map_lookup_elem(&floor_counter, &zero);
    if (counter) {
        counter->rx_bytes += skb->len;
        counter->rx_packets++;
    }
    return TC_ACT_UNSPEC;
}
