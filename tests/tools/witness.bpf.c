// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Somebody else's classifier: counts what reaches it and answers what it is told to. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

const volatile int verdict;
__u64 packets;

SEC("tc")
int witness(struct __sk_buff *skb) {
    (void)skb;
    __sync_fetch_and_add(&packets, 1);
    return verdict;
}

SEC("xdp")
int witness_xdp(struct xdp_md *packet) {
    (void)packet;
    __sync_fetch_and_add(&packets, 1);
    return verdict;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
