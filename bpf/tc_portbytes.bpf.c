// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The TC classifier: finds the key of a packet and counts it in the key's slot. It changes no
 * packet and always returns TC_ACT_UNSPEC, so that other classifiers still run. It knows no
 * policy: user space writes the table.
 *
 *   fast_key -------------------------> table -> slot -> counters of this CPU
 *        \-> slow_key (other packets) -/     \-> alloc_slot (a new port)
 *
 * Counters need no atomics: both programs run with bottom halves disabled, and a CPU is in one of
 * them at a time.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "access.h"
#include "alloc_slot.h"
#include "gso.h"
#include "parse.h"
#include "parse_slow.h"
#include "tc_portbytes.h"

const volatile __u32 l2_len = ETH_HLEN;
const volatile __u32 ingress_port = PB_PORT_DESTINATION;
const volatile __u32 egress_port = PB_PORT_SOURCE;
const volatile __u32 slots_per_cpu = PB_FIXED_SLOTS;

struct pb_shared shared;

/*
 * The slots of CPU 0, then those of CPU 1, and so on: per-CPU counters that user space reads
 * without a system call. A per-CPU map costs one more pointer on the way to a slot, and a lock and
 * a copy of each slot when it is read. max_entries is set before loading.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, PB_FIXED_SLOTS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct pb_counters);
} counters SEC(".maps");

static __always_inline int count(struct __sk_buff *skb, __u32 egress) {
    struct wire wire = {.packets = 1, .bytes = skb->len};
    struct pb_counters *counter;
    struct packet_key packet;
    __u32 slot, no_slot;
    __u64 head;

    if (!fast_key(skb, egress, &packet))
        packet = slow_key(skb, egress);

    /*
     * No branch on whether the port has a slot: with more ports than slots it goes either way at
     * random. Nor a call if no slot is free, which would cost more than all the rest.
     */
    slot = READ_ONCE(*PB_ELEMENT(shared.table, packet.key));
    head = READ_ONCE(shared.head); /* before tail, else a full ring could look empty */
    no_slot = (slot - 1) >> 31;    /* 1 or 0 */
    asm volatile("" : "+r"(no_slot));
    if (no_slot & (__u32)((head - READ_ONCE(shared.tail)) >> 63)) /* head is before tail */
        slot = alloc_slot(packet.key);
    else
        slot |= PB_SLOT_OTHER(packet.key / PB_PORTS) & -no_slot;

    if (skb->gso_size)
        wire = gso_wire(skb, packet, egress);
    if (skb->vlan_present) /* a tag in metadata: 4 bytes of each packet on the wire */
        wire.bytes += wire.packets * 4;

    slot += bpf_get_smp_processor_id() * slots_per_cpu;
    counter = bpf_map_lookup_elem(&counters, &slot);
    if (!counter)
        return TC_ACT_UNSPEC;
    if (egress) {
        counter->tx_bytes += wire.bytes;
        counter->tx_packets += wire.packets;
    } else {
        counter->rx_bytes += wire.bytes;
        counter->rx_packets += wire.packets;
    }
    return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_portbytes_in(struct __sk_buff *skb) {
    return count(skb, 0);
}

SEC("tc")
int tc_portbytes_eg(struct __sk_buff *skb) {
    return count(skb, 1);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
