// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The TC classifier: finds the key of a packet and counts it in the key's slot.
 * It changes no packet and always answers TC_ACT_UNSPEC, so that whatever else
 * is attached still runs. It knows no policy: user space writes the table.
 *
 *   in/eg -> fast_key --------------------> table -> slot -> per-CPU add
 *                \-> slow_key (the rest) -/     \-> take_slot (a new port)
 *
 * Counters need no atomics: both programs run with bottom halves disabled, and
 * a CPU is in one of them at a time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "access.h"
#include "tc_portbytes.h"

/* Set before loading: the verifier folds them and drops the dead branches. */
const volatile __u32 l2_len = ETH_HLEN;                  /* bytes; 0: packets begin at L3 */
const volatile __u32 ingress_port = PB_PORT_DESTINATION; /* enum pb_port */
const volatile __u32 egress_port = PB_PORT_SOURCE;
const volatile __u32 slots_per_cpu = PB_FIXED_SLOTS;

struct pb_shared shared;

/*
 * The slots of CPU 0, then those of CPU 1, and so on: per-CPU counters that user space reads
 * without a system call. A per-CPU map would have a pointer for each slot on the way, and one
 * lock and copy for each when read. max_entries is set before loading.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, PB_FIXED_SLOTS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct pb_counters);
} counters SEC(".maps");

/* A lock in .bss needs kernel 6.2 (d0d78c1df9b1), in a map of its own none. */
struct ring_lock {
    struct bpf_spin_lock lock;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct ring_lock);
} ring_lock SEC(".maps");

/*
 * Which key the first fragment of a datagram had (RFC 791 section 3.2, RFC 8200
 * section 4.5). The direction is part of it: on loopback both directions see the
 * same datagram, and may count it by different ports. No padding.
 */
struct fragment {
    __be32 source[4];
    __be32 destination[4];
    __u32 id;
    __u8 protocol;
    __u8 egress;
    __u16 v6; /* else an IPv4 datagram could pass for an IPv6 one */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, struct fragment);
    __type(value, __u32);
} fragments SEC(".maps");

#define SHARED(place) (*(volatile typeof(place) *)&(place))

/* What a packet is. */
struct found {
    __u32 key;
    __u32 offset; /* of the header behind IP's, see load(); 0: none found, or a later fragment */
    __u32 jumbo;  /* IPv6 with a length of 0 (RFC 2675): as GSO, the kernel's own (BIG TCP) */
};

static __always_inline __u32 port_key(__u32 transport, __be16 source_be, __be16 destination_be,
                                      __u32 which) {
    __u32 port = bpf_ntohs(which == PB_PORT_DESTINATION ? destination_be : source_be);

    if (which == PB_PORT_LOWER) {
        __u32 destination = bpf_ntohs(destination_be);
        if (destination < port)
            port = destination;
    }
    return PB_KEY(transport, port);
}

/* ---- the slow path: whatever the fast path does not know ---- */

#define NO_TRANSPORT PB_TRANSPORTS

static __always_inline __u32 transport_of(__u32 protocol) {
    switch (protocol) {
    case IPPROTO_TCP:
        return PB_TCP;
    case IPPROTO_UDP:
        return PB_UDP;
    case IPPROTO_SCTP:
        return PB_SCTP;
    default:
        return NO_TRANSPORT;
    }
}

/* A struct found as the one scalar that a global function may return. */
#define FOUND(key, offset)  ((__u64)(offset) << 32 | (key))
#define FOUND_JUMBO         (1ull << 63)
#define FOUND_OFFSET(found) ((found) >> 32 & 0x7fffffff)

/* Offsets count from the packet's begin, or from its L3 header where only that is known. */
static __always_inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length) {
    if (l2_len == PB_L2_UNKNOWN)
        return bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
    return bpf_skb_load_bytes(skb, offset, to, length);
}

/* Those with a header that says what follows and how long it is (RFC 8200 section 4, 4302, 6275).
 */
static __always_inline int is_extension(__u32 protocol, int v6) {
    if (protocol == IPPROTO_AH)
        return 1;
    return v6 &&
           (protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
            protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_MH);
}

/*
 * The packet from its L3 header on, at offset. Ports are read where the headers
 * say they are; lengths in the packet are not believed, only skb->len is.
 * A function of its own for the verifier: it sees it once.
 */
__noinline __u64 slow_ip(struct __sk_buff *skb, __u32 offset, __u32 v6, __u32 egress) {
    __u64 jumbo = 0;
    struct fragment fragment = {.egress = egress != 0, .v6 = v6 != 0};
    int remember = 0; /* a first fragment: fragment holds its identity */
    __u32 protocol, transport, key;
    __be16 ports[2];

    if (v6) {
        struct ipv6hdr ip6;

        if (load(skb, offset, &ip6, sizeof(ip6)) || ip6.version != 6)
            return FOUND(PB_KEY_NONIP, 0);
        __builtin_memcpy(fragment.source, &ip6.saddr, sizeof(fragment.source));
        __builtin_memcpy(fragment.destination, &ip6.daddr, sizeof(fragment.destination));
        protocol = ip6.nexthdr;
        if (protocol == IPPROTO_HOPOPTS && !ip6.payload_len)
            jumbo = FOUND_JUMBO;
        offset += sizeof(ip6);
    } else {
        struct iphdr ip;
        __u8 last;

        if (load(skb, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
            load(skb, offset + ip.ihl * 4 - 1, &last, sizeof(last)))
            return FOUND(PB_KEY_NONIP, 0);
        protocol = ip.protocol;
        offset += ip.ihl * 4;
        if (ip.frag_off & bpf_htons(0x3fff)) { /* more fragments, or an offset */
            fragment.source[0] = ip.saddr;
            fragment.destination[0] = ip.daddr;
            fragment.id = ip.id;
            fragment.protocol = protocol;
            if (ip.frag_off & bpf_htons(0x1fff))
                goto later_fragment;
            remember = 1;
        }
    }

    for (int i = 0; i < PB_MAX_EXTENSIONS && is_extension(protocol, v6); i++) {
        struct {
            __u8 next;
            __u8 length;
            __be16 fragment; /* offset in units of 8 bytes, 2 bits, more fragments */
            __be32 id;
        } extension;

        /* Only a fragment header is sure to have 8 bytes, but all have a multiple of 4. */
        if (protocol == IPPROTO_FRAGMENT) {
            if (load(skb, offset, &extension, sizeof(extension)))
                return FOUND(PB_KEY_IP(protocol & 0xff), 0);
            protocol = extension.next;
            offset += sizeof(extension);
            fragment.id = extension.id;
            fragment.protocol = protocol;
            if (extension.fragment & bpf_htons(0xfff8))
                goto later_fragment;
            remember = (extension.fragment & bpf_htons(1)) != 0;
        } else {
            if (load(skb, offset, &extension, 2))
                return FOUND(PB_KEY_IP(protocol & 0xff), 0);
            if (protocol == IPPROTO_AH)
                offset += (extension.length + 2) * 4; /* RFC 4302 section 2.2 */
            else
                offset += (extension.length + 1) * 8;
            protocol = extension.next;
        }
    }

    transport = transport_of(protocol);
    if (transport == NO_TRANSPORT || load(skb, offset, ports, sizeof(ports)))
        return FOUND(PB_KEY_IP(protocol & 0xff), offset);
    key = port_key(transport, ports[0], ports[1], egress ? egress_port : ingress_port);
    if (remember && !skb->gso_size) /* no fragment is GSO, and this may be a packet in a tunnel */
        bpf_map_update_elem(&fragments, &fragment, &key, BPF_ANY);
    return FOUND(key, offset) | jumbo;

later_fragment:;
    __u32 *known = bpf_map_lookup_elem(&fragments, &fragment);

    return FOUND(known ? *known : PB_KEY_IP(protocol & 0xff), 0);
}

/* The type of what follows an Ethernet header that ends at *offset; which then is behind tags. */
static __always_inline __be16 ethernet_type(struct __sk_buff *skb, __u32 *offset) {
    __be16 type = 0;

    load(skb, *offset - sizeof(type), &type, sizeof(type));
    for (int tags = 0; tags < 2; tags++) {
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
            break;
        /* A tag: 2 bytes of its own, then the type of what follows. */
        if (load(skb, *offset + 2, &type, sizeof(type)))
            return 0;
        *offset += 4;
    }
    return type;
}

static __always_inline __u64 slow_key(struct __sk_buff *skb, __u32 egress) {
    __u32 offset = l2_len == PB_L2_UNKNOWN ? 0 : l2_len;
    __be16 type = offset ? ethernet_type(skb, &offset) : skb->protocol;

    if (type == bpf_htons(ETH_P_IP))
        return slow_ip(skb, offset, 0, egress);
    if (type == bpf_htons(ETH_P_IPV6))
        return slow_ip(skb, offset, 1, egress);
    return FOUND(PB_KEY_NONIP, 0);
}

/* ---- a port without a slot ---- */

/*
 * Gives key a slot from the ring, or the transport's "other" when there is none.
 * User space writes table entries without the lock, hence the compare-and-swap;
 * it is also the barrier between key_of and the entry that publishes it.
 */
__noinline __u32 take_slot(__u32 key) {
    __u32 other = PB_SLOT_OTHER(key / PB_PORTS);
    struct ring_lock *ring;
    __u32 zero = 0, answer, slot, *entry, *cell;
    __u64 head;

    ring = bpf_map_lookup_elem(&ring_lock, &zero);
    if (!ring)
        return other;
    if (key >= PB_PORT_KEYS)
        return PB_SLOT_NONIP;
    entry = PB_ELEMENT(shared.table, key);

    bpf_spin_lock(&ring->lock);
    head = SHARED(shared.head);
    cell = PB_ELEMENT(shared.ring, head & (PB_RING - 1));
    slot = SHARED(*cell);
    if (slot == 0 || slot >= PB_DYNAMIC_END) {
        answer = SHARED(*entry);
    } else {
        SHARED(*PB_ELEMENT(shared.key_of, slot)) = key;
        answer = __sync_val_compare_and_swap(entry, 0, slot);
        if (answer == 0) {
            SHARED(*cell) = 0;
            SHARED(shared.head) = head + 1;
            answer = slot;
        }
    }
    bpf_spin_unlock(&ring->lock);
    return answer ? answer : other;
}

/* ---- GSO: one packet here, many on the wire ---- */

/* UDP ports of tunnels. */
#define VXLAN       4789 /* RFC 7348 section 8 */
#define VXLAN_LINUX 8472 /* drivers/net/vxlan: the default when none is given */
#define GENEVE      6081 /* RFC 8926 section 3.3 */

/* What gso_headers returns besides a length: there is no header that it doesn't know. */
#define ALL_KNOWN (1u << 31)

/* What one skb is on the wire. */
struct wire {
    __u64 packets;
    __u64 bytes;
};

/* Of an IP packet, as it says itself; 0: over 64 KB (BIG TCP), or it is none. */
static __always_inline __u32 ip_length(struct __sk_buff *skb, __u32 offset, __be16 type) {
    __be16 length = 0;

    if (type == bpf_htons(ETH_P_IP))
        load(skb, offset + offsetof(struct iphdr, tot_len), &length, sizeof(length));
    else if (type == bpf_htons(ETH_P_IPV6))
        load(skb, offset + offsetof(struct ipv6hdr, payload_len), &length, sizeof(length));
    if (!length)
        return 0;
    return bpf_ntohs(length) + (type == bpf_htons(ETH_P_IPV6) ? sizeof(struct ipv6hdr) : 0);
}

/*
 * If there is a tunnel's header at offset: *type is what it carries. Returns where that begins,
 * behind its Ethernet header if it has one, or 0.
 */
static __always_inline __u32 tunnel_end(struct __sk_buff *skb, __u32 key, __u32 offset,
                                        __be16 *type) {
    struct {
        __be16 source, destination, length, checksum;
        __u8 flags, reserved; /* of VXLAN and Geneve, 8 bytes */
        __be16 type;          /* Geneve: as in Ethernet */
    } udp;
    struct {
        __u8 flags, version;
        __be16 type;
    } gre;

    switch (key) {
    case PB_KEY_IP(IPPROTO_IPIP):
        *type = bpf_htons(ETH_P_IP);
        return offset;
    case PB_KEY_IP(IPPROTO_IPV6):
        *type = bpf_htons(ETH_P_IPV6);
        return offset;
    case PB_KEY_IP(IPPROTO_GRE):
        if (load(skb, offset, &gre, sizeof(gre)))
            return 0;
        *type = gre.type;
        /* RFC 2784, 2890: bits say that there is a checksum, a key, a sequence number. */
        offset += sizeof(gre) + __builtin_popcount(gre.flags & 0xb0) * 4;
        break;
    default:
        if (key / PB_PORTS != PB_UDP || load(skb, offset, &udp, sizeof(udp)))
            return 0;
        offset += 8 + 8;
        switch (udp.destination) {
        case bpf_htons(VXLAN):
        case bpf_htons(VXLAN_LINUX):
            *type = bpf_htons(ETH_P_TEB);
            break;
        case bpf_htons(GENEVE):
            *type = udp.type;
            offset += (udp.flags & 0x3f) * 4; /* options */
            break;
        default:
            return 0;
        }
    }
    if (*type == bpf_htons(ETH_P_TEB)) {
        offset += ETH_HLEN;
        *type = ethernet_type(skb, &offset);
    }
    return offset;
}

/*
 * The length of the headers that each segment has, those of tunnels included. key and offset are
 * what was found of the outermost packet, which ends at end. What looks like a tunnel's header is
 * one only if it carries an IP packet which says that it ends there, too: a program may send
 * several datagrams of a tunnel at once (UDP_SEGMENT), and then the first of them says less.
 * A function of its own for the verifier: it sees it once.
 */
__noinline __u32 gso_headers(struct __sk_buff *skb, __u32 key, __u32 offset, __u32 end,
                             __u32 egress) {
    __u32 headers = l2_len == PB_L2_UNKNOWN ? 0 : l2_len;

    for (int tunnels = 0; tunnels <= PB_MAX_TUNNELS && offset; tunnels++) {
        __u32 transport = key / PB_PORTS, length;
        __be16 type = 0;
        __u64 inner;
        int v6;

        if (transport == PB_TCP) {
            __u8 words = 0;

            load(skb, offset + 12, &words, sizeof(words)); /* RFC 9293: data offset */
            return (offset + (words >> 4) * 4) | ALL_KNOWN;
        }
        if (transport == PB_SCTP)
            return (offset + 12) | ALL_KNOWN; /* RFC 9260 section 3.1 */
        headers = offset;
        if (transport == PB_UDP) {
            headers += 8;
            if (tunnels > 0)
                headers |= ALL_KNOWN;
        }

        offset = tunnel_end(skb, key, offset, &type);
        v6 = type == bpf_htons(ETH_P_IPV6);
        if (!offset || (!v6 && type != bpf_htons(ETH_P_IP)))
            break;
        length = ip_length(skb, offset, type);
        if (length && offset + length != end)
            break;
        inner = slow_ip(skb, offset, v6, egress);
        key = inner;
        offset = FOUND_OFFSET(inner);
    }
    return headers;
}

/*
 * The headers of a GSO packet stand on the wire once a segment, in skb->len once. Where there is
 * one that we don't know, the kernel's own figure (wire_len) serves, if it is not absurd. It is
 * no better: on egress, from the link layer on, it has the inner headers of GRE and UDP tunnels
 * from 6.17 on (6.12 in its stable releases); on ingress, from the network layer on, there is
 * none before 6.19 (f9e00e51e391).
 */
static __always_inline struct wire wire_of_gso(struct __sk_buff *skb, struct found found,
                                               __u32 egress) {
    struct wire wire = {.packets = skb->gso_segs, .bytes = skb->len};
    __u32 size = skb->gso_size, headers, known, link = l2_len, end = skb->len;

    if (l2_len == PB_L2_UNKNOWN) {
        link = ip_length(skb, 0, skb->protocol);
        link = link && link < skb->len ? skb->len - link : 0;
        end -= link;
    }
    headers = gso_headers(skb, found.key, found.offset, end, egress);
    known = headers & ALL_KNOWN;
    headers &= ~ALL_KNOWN;
    if (l2_len == PB_L2_UNKNOWN)
        headers += link;

    if (wire.packets == 0) {
        wire.packets = 1;
        if (skb->len > headers)
            wire.packets = (skb->len - headers + size - 1) / size;
    }
    if (!known && skb->wire_len > skb->len && skb->wire_len <= wire.packets * skb->len) {
        wire.bytes = skb->wire_len + (egress ? 0 : wire.packets * link);
        return wire;
    }
    /* The 8 bytes of header that say how long it is never are on the wire (09f3d1a3a52c). */
    if (found.jumbo) {
        headers -= 8;
        wire.bytes -= 8;
    }
    wire.bytes += (wire.packets - 1) * headers;
    return wire;
}

/* ---- every packet ---- */

/*
 * Ethernet or nothing, IPv4 without options and fragments or IPv6 without
 * extension headers, TCP or UDP, and all that in the linear part of the skb:
 * true and *found set. Otherwise false.
 */
static __always_inline int fast_key(struct __sk_buff *skb, __u32 egress, struct found *found) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    void *l3 = data + l2_len;
    __u32 protocol, transport, offset;
    __be16 type, *ports;

    if (l2_len == PB_L2_UNKNOWN)
        return 0;
    if (l2_len) {
        if (l3 > end)
            return 0;
        type = ((struct ethhdr *)data)->h_proto;
    } else {
        type = skb->protocol;
    }

    if (type == bpf_htons(ETH_P_IP)) {
        struct iphdr *ip = l3;

        ports = (void *)(ip + 1);
        if ((void *)(ports + 2) > end)
            return 0;
        /* Version 4, 5 words of header; neither more fragments nor an offset. */
        if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
            return 0;
        protocol = ip->protocol;
        offset = l2_len + sizeof(*ip);
    } else if (type == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = l3;

        ports = (void *)(ip6 + 1);
        if ((void *)(ports + 2) > end)
            return 0;
        if (*(__u8 *)ip6 >> 4 != 6)
            return 0;
        protocol = ip6->nexthdr;
        offset = l2_len + sizeof(*ip6);
    } else {
        return 0;
    }

    if (protocol == IPPROTO_TCP)
        transport = PB_TCP;
    else if (protocol == IPPROTO_UDP)
        transport = PB_UDP;
    else
        return 0;
    found->key = port_key(transport, ports[0], ports[1], egress ? egress_port : ingress_port);
    found->offset = offset;
    found->jumbo = 0;
    return 1;
}

static __always_inline int count(struct __sk_buff *skb, __u32 egress) {
    struct wire wire = {.packets = 1, .bytes = skb->len};
    struct pb_counters *counter;
    struct found found;
    __u32 slot, none;
    __u64 head;

    if (!fast_key(skb, egress, &found)) {
        __u64 slow = slow_key(skb, egress);

        found.jumbo = slow >> 63;
        found.offset = FOUND_OFFSET(slow);
        found.key = slow;
    }

    /*
     * No branch on whether the port has a slot: with more ports than slots that goes either
     * way at random. Nor a call when there is none to take, which costs more than the rest.
     */
    slot = SHARED(*PB_ELEMENT(shared.table, found.key));
    head = SHARED(shared.head); /* before tail, else a full ring could look empty */
    none = (slot - 1) >> 31;    /* 1 or 0 */
    asm volatile("" : "+r"(none));
    if (none & (__u32)((head - SHARED(shared.tail)) >> 63)) /* tail is beyond head */
        slot = take_slot(found.key);
    else
        slot |= PB_SLOT_OTHER(found.key / PB_PORTS) & -none;

    if (skb->gso_size)
        wire = wire_of_gso(skb, found, egress);
    if (skb->vlan_present) /* a tag in metadata: 4 bytes of every packet on the wire */
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
