// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The TC classifier: finds the key of a packet, and counts it in the key's slot, in the row of the
 * packet's interface. It changes no packet and always returns TC_ACT_UNSPEC, so that other
 * classifiers still run. It knows no policy: user space writes the table.
 *
 *   count_fast: fast_key -> table -> slot -> row -> counter
 *        |
 *        |  in ingress, while the namespace has IPsec states
 *        +-> count_ipsec: is_decrypted, count_fast once more
 *        |
 *        v  any other packet
 *   count_slow: row, fast_key -> is_decrypted -> table -> slot ------> gso_wire -> counter
 *                       \-> slow_key -/                 \-> alloc_slot (a new port)
 *
 * count_fast is a leaf: for a call that it continued after it would keep values on the stack, with
 * every packet. So count_slow is the last that is called, and begins anew.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "access.h"
#include "alloc_slot.h"
#include "context.h"
#include "gso.h"
#include "parse.h"
#include "parse_slow.h"
#include "tc_portbytes.h"

/* IEEE 802.1Q. A tag that the kernel keeps in metadata was, or will be, on the wire. */
#define VLAN_HLEN 4

const volatile __u32 l2_len = ETH_HLEN;
const volatile __u32 ingress_port = PB_PORT_DESTINATION;
const volatile __u32 egress_port = PB_PORT_SOURCE;
const volatile __u32 slots_per_lane = PB_FIXED_SLOTS;
const volatile __u32 lanes = 1;
const volatile __u32 fixed_row = PB_ROW_BY_INDEX;
const volatile __u32 atomic_adds = 0; /* not 0: add() has to be atomic, see there */
const volatile __u32 has_xfrm = 1;    /* 0: the kernel has no bpf_skb_get_xfrm_state() */

struct pb_shared shared;

/*
 * A row: the slots of lane 0, then those of lane 1, and so on. User space reads them without a
 * system call. A per-CPU map costs one more pointer on the way to a slot, memory for each possible
 * CPU, and a lock and a copy of each slot when it is read. All rows have one number of entries,
 * else the JIT wouldn't inline look-ups in them: user space sets it before loading. Sizes instead
 * of types, since clang 14 leaves types out of the BTF that only an inner map names.
 */
struct row {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2 * PB_FIXED_SLOTS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct pb_counters));
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, PB_ROWS + PB_SPARE_ROWS);
    __type(key, __u32);
    __array(values, struct row);
} rows SEC(".maps");

/* NULL: the packet's interface isn't counted. */
static __always_inline void *find_row(struct __sk_buff *skb) {
    __u32 index;

    if (fixed_row == PB_ROW_BY_INDEX)
        index = skb->ifindex & (PB_ROWS - 1);
    else
        index = fixed_row;
    return bpf_map_lookup_elem(&rows, &index);
}

/*
 * Whether IPsec decrypted an incoming packet, which was seen here before, as ESP. Those of an xfrm
 * interface all were decrypted, and seen elsewhere.
 */
static __always_inline int is_decrypted(struct __sk_buff *skb, __u32 egress) {
    struct bpf_xfrm_state state;

    if (!egress && __builtin_expect(READ_ONCE(shared.ipsec), 0))
        return has_xfrm && l2_len != PB_L2_XFRM &&
               !bpf_skb_get_xfrm_state(skb, 0, &state, sizeof(state), 0);
    return 0;
}

/* In the lane that CPUs share. */
static __always_inline void add_shared(struct pb_counters *counter, struct wire wire,
                                       __u32 egress) {
    if (egress) {
        __sync_fetch_and_add(&counter->tx_bytes, wire.bytes);
        __sync_fetch_and_add(&counter->tx_packets, wire.packets);
    } else {
        __sync_fetch_and_add(&counter->rx_bytes, wire.bytes);
        __sync_fetch_and_add(&counter->rx_packets, wire.packets);
    }
}

/*
 * In a lane of this CPU alone. Both programs run with bottom halves disabled, so a CPU is in one of
 * them at a time, and adding takes no atomics. But on PREEMPT_RT that is so only while disabling
 * them takes a lock for each CPU: from Linux 6.18 on, without PREEMPT_RT_NEEDS_BH_LOCK
 * (3253cb49cbad), another task can run a program in the middle of an add. And on a 32-bit machine
 * one is stored in halves, between which user space could read it; an atomic add is not. On riscv64
 * the lane may not be this CPU's alone: bpf_get_smp_processor_id() was seen to be 0 on all.
 */
static __always_inline void add(struct pb_counters *counter, struct wire wire, __u32 egress) {
    if (atomic_adds) {
        add_shared(counter, wire, egress);
    } else if (egress) {
        counter->tx_bytes += wire.bytes;
        counter->tx_packets += wire.packets;
    } else {
        counter->rx_bytes += wire.bytes;
        counter->rx_packets += wire.packets;
    }
}

/*
 * Whether the ring has a slot. A 32-bit machine reads head and tail in halves: at worst a packet
 * looks at the ring in vain, or a new port is counted in "other".
 */
static __always_inline int ring_has_slots(void) {
    __u64 head = READ_ONCE(shared.head); /* before tail, else a full ring could look empty */

    return head < READ_ONCE(shared.tail);
}

/*
 * Counts any packet. The row comes first: for an interface that isn't counted no slot is taken. A
 * global function: the verifier checks it once.
 */
__noinline int count_slow(PB_CONTEXT(context), __u32 egress) {
    struct __sk_buff *skb = context;
    struct wire wire = {.packets = 1, .bytes = skb->len};
    __u32 cpu = bpf_get_smp_processor_id(), l3 = l2_len, key, slot;
    struct pb_counters *counter;
    struct packet_key packet;
    void *row;

    row = find_row(skb);
    if (!row)
        return TC_ACT_UNSPEC;
    if (is_l3_hidden(l3))
        l3 = l3_offset(skb);
    if (!fast_key(skb, egress, &packet))
        packet = slow_key(skb, l3, egress);

    /* A network card that decrypts leaves the state with a packet that is ESP still. */
    key = packet.key;
    if (key != PB_KEY_IP(IPPROTO_ESP) && key != PB_KEY_IP(IPPROTO_AH) && is_decrypted(skb, egress))
        key = PB_KEY_DECRYPTED;

    slot = READ_ONCE(*PB_ELEMENT(shared.table, key));
    if (!slot)
        slot = ring_has_slots() ? alloc_slot(key) : PB_SLOT_OTHER(key / PB_PORTS);

    if (skb->gso_size)
        wire = gso_wire(skb, packet, l3, egress);
    if (l2_len == PB_L2_FOREIGN || l2_len == PB_L2_XFRM)
        wire.bytes -= wire.packets * l3; /* and not the tag, which is before L3, too */
    else
        wire.bytes += wire.packets * skb->vlan_present * VLAN_HLEN;

    slot += (cpu < lanes ? cpu : lanes) * slots_per_lane;
    counter = bpf_map_lookup_elem(row, &slot);
    if (!counter)
        return TC_ACT_UNSPEC;
    if (cpu < lanes)
        add(counter, wire, egress);
    else
        add_shared(counter, wire, egress);
    return TC_ACT_UNSPEC;
}

/*
 * Counts a packet that fast_key() parses, that is one packet on the wire, too, whose key has a slot
 * or gets none, on a CPU with a lane of its own. Returns 0 if it is another one; with but_ipsec for
 * any, while the namespace has IPsec states.
 */
static __always_inline int count_fast(struct __sk_buff *skb, __u32 egress, __u32 but_ipsec) {
    struct wire wire = {.packets = 1};
    struct pb_counters *counter;
    struct packet_key packet;
    __u32 cpu, slot;
    __s64 no_slot;
    void *row;

    cpu = bpf_get_smp_processor_id(); /* a call: first, before there is anything to keep */
    if (cpu >= lanes || !fast_key(skb, egress, &packet))
        return 0;

    /*
     * While the ring has slots, only a new port is without one. With more ports than slots any
     * packet may be: no branch on it then, which would go either way at random, and no call.
     */
    slot = READ_ONCE(*PB_ELEMENT(shared.table, packet.key));
    if (ring_has_slots()) {
        if (!slot)
            return 0;
    } else {
        no_slot = ((__s64)slot - 1) >> 63; /* all ones or 0 */
        asm volatile("" : "+r"(no_slot));
        slot |= PB_SLOT_OTHER(packet.key / PB_PORTS) & no_slot;
    }

    if (skb->gso_size | (but_ipsec ? READ_ONCE(shared.ipsec) : 0)) /* one branch for both */
        return 0;
    slot += cpu * slots_per_lane;
    row = find_row(skb);
    if (!row)
        return 0;
    counter = bpf_map_lookup_elem(row, &slot);
    if (!counter)
        return 0;
    wire.bytes = skb->len + skb->vlan_present * VLAN_HLEN;
    add(counter, wire, egress);
    return 1;
}

/*
 * Counts a packet of ingress while the namespace has IPsec states. A second instance of the fast
 * path, with a call in front of it, so that the first has none.
 */
__noinline int count_ipsec(PB_CONTEXT(context)) {
    struct __sk_buff *skb = context;

    if (is_decrypted(skb, 0) || !count_fast(skb, 0, 0))
        count_slow(skb, 0);
    return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_portbytes_in(struct __sk_buff *skb) {
    if (count_fast(skb, 0, 1))
        return TC_ACT_UNSPEC;
    if (READ_ONCE(shared.ipsec))
        count_ipsec(skb);
    else
        count_slow(skb, 0);
    return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_portbytes_eg(struct __sk_buff *skb) {
    if (!count_fast(skb, 1, 0))
        count_slow(skb, 1);
    return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
