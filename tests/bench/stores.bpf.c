// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What the textbook's counters could be kept in instead: its parser with other stores
 * behind it; and the floor that all are measured from.
 */
#include "textbook.bpf.c"

SEC("tc")
int empty(struct __sk_buff *skb) {
    (void)skb;
    return TC_ACT_UNSPEC;
}

SEC("tc")
int parse_only(struct __sk_buff *skb) {
    __u16 port;

    if (destination_port(skb, &port))
        asm volatile("" : : "r"(port)); /* or the compiler leaves it all out */
    return TC_ACT_UNSPEC;
}

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u16);
    __type(value, struct traffic);
} hash_ports SEC(".maps");

SEC("tc")
int hash_atomic(struct __sk_buff *skb) {
    struct traffic first = {.bytes = skb->len, .packets = 1}, *traffic;
    __u16 port;

    if (!destination_port(skb, &port))
        return TC_ACT_UNSPEC;
    traffic = bpf_map_lookup_elem(&hash_ports, &port);
    if (traffic) {
        __sync_fetch_and_add(&traffic->bytes, skb->len);
        __sync_fetch_and_add(&traffic->packets, 1);
    } else {
        bpf_map_update_elem(&hash_ports, &port, &first, BPF_NOEXIST);
    }
    return TC_ACT_UNSPEC;
}

struct {
    __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
    __uint(max_entries, 65536);
    __type(key, __u16);
    __type(value, struct traffic);
} lru_ports SEC(".maps");

SEC("tc")
int lru_percpu(struct __sk_buff *skb) {
    struct traffic first = {.bytes = skb->len, .packets = 1}, *traffic;
    __u16 port;

    if (!destination_port(skb, &port))
        return TC_ACT_UNSPEC;
    traffic = bpf_map_lookup_elem(&lru_ports, &port);
    if (traffic) {
        traffic->bytes += skb->len;
        traffic->packets++;
    } else {
        bpf_map_update_elem(&lru_ports, &port, &first, BPF_ANY);
    }
    return TC_ACT_UNSPEC;
}

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, struct traffic);
} array_ports SEC(".maps");

SEC("tc")
int array_by_port(struct __sk_buff *skb) {
    struct traffic *traffic;
    __u16 port;
    __u32 index;

    if (!destination_port(skb, &port))
        return TC_ACT_UNSPEC;
    index = port;
    traffic = bpf_map_lookup_elem(&array_ports, &index);
    if (traffic) {
        traffic->bytes += skb->len;
        traffic->packets++;
    }
    return TC_ACT_UNSPEC;
}

struct event {
    __u16 port;
    __u32 bytes;
};

/* Room for several rounds: what is measured is never a full ring. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 16 << 20);
} events SEC(".maps");

SEC("tc")
int ring_buffer(struct __sk_buff *skb) {
    struct event *event;
    __u16 port;

    if (!destination_port(skb, &port))
        return TC_ACT_UNSPEC;
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event)
        return TC_ACT_UNSPEC;
    event->port = port;
    event->bytes = skb->len;
    bpf_ringbuf_submit(event, 0);
    return TC_ACT_UNSPEC;
}
