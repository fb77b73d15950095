/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The key of a packet, slow path: tags, options, extension headers, fragments, other protocols,
 * and headers that are not in the linear part of the skb. Ports are read where the headers say
 * they are; lengths in the packet are not trusted, only skb->len is.
 */
#ifndef PB_PARSE_SLOW_H
#define PB_PARSE_SLOW_H

#include "context.h"
#include "parse.h"

/*
 * IPv6 extension headers (and AH in IPv4) that are parsed in one packet: a bound, so that a
 * hostile packet costs no more. RFC 8200 section 4.1 has seven in a packet that follows its
 * recommendations.
 */
#define MAX_EXTENSIONS 8

/* VLAN tags before the EtherType of a packet: one more makes it something that isn't IP. */
#define MAX_TAGS 3

/* The longest link layer where L3 is hidden, a power of two less 1. */
#define MAX_L2 255

/* RFC 8200 section 4.5, in host byte order; names as in netinet/ip6.h. */
#define IP6F_OFF_MASK  0xfff8 /* fragment offset */
#define IP6F_MORE_FRAG 0x0001

struct frag_hdr {
    __u8 nexthdr;
    __u8 reserved;
    __be16 frag_off;
    __be32 identification;
};

/*
 * Identifies a datagram among its host's fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
 * The direction is part of it: on loopback both directions see the same datagram, and may count
 * it by different ports. No padding.
 */
struct fragment_id {
    __be32 source[4];
    __be32 destination[4];
    __u32 id;
    __u8 protocol;
    __u8 egress;
    __u16 v6; /* else an IPv4 datagram could pass for an IPv6 one */
};

/* The keys of first fragments, for the later ones, which have no ports. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct fragment_id);
    __type(value, __u32);
} fragments SEC(".maps");

/* A datagram as far as its headers have been parsed. */
struct datagram {
    __u32 offset;       /* of the next header */
    __u32 protocol;     /* of the next header */
    int first_fragment; /* and others follow */
    __u64 jumbo;        /* PACKET_JUMBO or 0 */
};

/* What is behind a header. */
enum next {
    NEXT_HEADER,
    LATER_FRAGMENT, /* payload without a header */
    UNREADABLE      /* the header itself is truncated or malformed */
};

/* A struct packet_key as a scalar, since a global function returns nothing else. */
#define PACKET_KEY(key, offset) ((__u64)(offset) << 32 | (key))
#define PACKET_JUMBO            (1ull << 63) /* in addition */

static __always_inline struct packet_key unpack_key(__u64 packed) {
    struct packet_key packet = {
        .key = packed,
        .offset = packed >> 32 & 0x7fffffff,
        .jumbo = packed >> 63,
    };

    return packet;
}

/*
 * 0 if at least `number` bytes of the skb's linear part stand at L3 or behind; else negative. Bytes
 * can be loaded relative to L3 exactly up to the end of that part.
 */
static __always_inline long reach_from_l3(struct __sk_buff *skb, __u32 number) {
    __u8 last;

    return bpf_skb_load_bytes_relative(skb, number - 1, &last, sizeof(last), BPF_HDR_START_NET);
}

/*
 * Where L3 begins if only the kernel knows, up to MAX_L2. It doesn't say so, but the end of the
 * linear part is known both from the skb's beginning and, by trying, from L3. First what is likely:
 * nothing in front, or an Ethernet header. Then a binary search, which has no branches: Linux 6.1
 * would verify each way through them. A global function: the verifier checks it once.
 */
__noinline __u32 l3_offset(PB_CONTEXT(context)) {
    struct __sk_buff *skb = context;
    __u32 linear = (void *)(long)skb->data_end - (void *)(long)skb->data;
    __u32 from_l3 = linear > MAX_L2 ? linear - MAX_L2 : 0; /* bytes, as far as they are found */

    if (!reach_from_l3(skb, linear))
        return 0;
    if (!reach_from_l3(skb, linear - ETH_HLEN) && reach_from_l3(skb, linear - ETH_HLEN + 1))
        return ETH_HLEN;
    for (__u32 step = (MAX_L2 + 1) / 2; step; step /= 2) {
        __s64 failed = reach_from_l3(skb, from_l3 + step) >> 63; /* all ones or 0 */

        asm volatile("" : "+r"(failed));
        from_l3 += step & ~failed;
    }
    return from_l3 < linear ? linear - from_l3 : 0;
}

/* Returns PB_TRANSPORTS if the protocol has no ports. */
static __always_inline __u32 transport_of(__u32 protocol) {
    switch (protocol) {
    case IPPROTO_TCP:
        return PB_TCP;
    case IPPROTO_UDP:
        return PB_UDP;
    case IPPROTO_SCTP:
        return PB_SCTP;
    default:
        return PB_TRANSPORTS;
    }
}

/* Headers that name the next one and have a length: RFC 8200 section 4, RFC 4302, RFC 6275. */
static __always_inline int is_extension(__u32 protocol, __u32 v6) {
    if (protocol == IPPROTO_AH)
        return 1;
    return v6 &&
           (protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
            protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_MH);
}

/* Moves *at from an IPv4 header to the next one; sets *id for a fragment. */
static __always_inline enum next parse_ipv4(struct __sk_buff *skb, struct datagram *at,
                                            struct fragment_id *id) {
    struct iphdr ip;
    __u8 last;

    if (bpf_skb_load_bytes(skb, at->offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
        bpf_skb_load_bytes(skb, at->offset + ip.ihl * 4 - 1, &last, sizeof(last)))
        return UNREADABLE;
    at->protocol = ip.protocol;
    at->offset += ip.ihl * 4;
    if (ip.frag_off & bpf_htons(IP_MF | IP_OFFSET)) {
        id->source[0] = ip.saddr;
        id->destination[0] = ip.daddr;
        id->id = ip.id;
        id->protocol = ip.protocol;
        if (ip.frag_off & bpf_htons(IP_OFFSET))
            return LATER_FRAGMENT;
        at->first_fragment = 1;
    }
    return NEXT_HEADER;
}

/* Moves *at from an IPv6 header to the next one; sets the addresses in *id. */
static __always_inline enum next parse_ipv6(struct __sk_buff *skb, struct datagram *at,
                                            struct fragment_id *id) {
    struct ipv6hdr ip6;

    if (bpf_skb_load_bytes(skb, at->offset, &ip6, sizeof(ip6)) || ip6.version != 6)
        return UNREADABLE;
    __builtin_memcpy(id->source, &ip6.saddr, sizeof(id->source));
    __builtin_memcpy(id->destination, &ip6.daddr, sizeof(id->destination));
    at->protocol = ip6.nexthdr;
    if (ip6.nexthdr == IPPROTO_HOPOPTS && !ip6.payload_len)
        at->jumbo = PACKET_JUMBO;
    at->offset += sizeof(ip6);
    return NEXT_HEADER;
}

/* Moves *at behind extension headers; completes *id at a fragment header. */
static __always_inline enum next skip_extensions(struct __sk_buff *skb, struct datagram *at,
                                                 struct fragment_id *id, __u32 v6) {
    for (int i = 0; i < MAX_EXTENSIONS && is_extension(at->protocol, v6); i++) {
        /* In one place of the stack, else Linux 6.1 verifies half as many instructions again. */
        union {
            struct frag_hdr fragment;
            struct ipv6_opt_hdr other;
        } header;

        if (at->protocol == IPPROTO_FRAGMENT) {
            if (bpf_skb_load_bytes(skb, at->offset, &header, sizeof(header.fragment)))
                return UNREADABLE;
            at->protocol = header.fragment.nexthdr;
            at->offset += sizeof(header.fragment);
            id->id = header.fragment.identification;
            id->protocol = at->protocol;
            if (header.fragment.frag_off & bpf_htons(IP6F_OFF_MASK))
                return LATER_FRAGMENT;
            at->first_fragment = (header.fragment.frag_off & bpf_htons(IP6F_MORE_FRAG)) != 0;
        } else {
            /* Only what is needed of it: the packet may end there. */
            if (bpf_skb_load_bytes(skb, at->offset, &header, sizeof(header.other)))
                return UNREADABLE;
            if (at->protocol == IPPROTO_AH)
                at->offset += (header.other.hdrlen + 2) * 4; /* RFC 4302 section 2.2 */
            else
                at->offset += (header.other.hdrlen + 1) * 8; /* RFC 8200 section 4.3 */
            at->protocol = header.other.nexthdr;
        }
    }
    return NEXT_HEADER;
}

/*
 * The key of the packet whose L3 header is at offset, as PACKET_KEY(). A global function: the
 * verifier checks it once, not once for each call.
 */
__noinline __u64 slow_ip(PB_CONTEXT(context), __u32 offset, __u32 v6, __u32 egress) {
    struct __sk_buff *skb = context;
    struct fragment_id id = {.egress = egress != 0, .v6 = v6 != 0};
    struct datagram at = {.offset = offset};
    __u32 transport, key;
    __be16 ports[2];
    enum next next;

    next = v6 ? parse_ipv6(skb, &at, &id) : parse_ipv4(skb, &at, &id);
    if (next == UNREADABLE)
        return PACKET_KEY(PB_KEY_NONIP, 0);
    if (next == NEXT_HEADER)
        next = skip_extensions(skb, &at, &id, v6);
    if (next == UNREADABLE)
        return PACKET_KEY(PB_KEY_IP(at.protocol & 0xff), 0);
    if (next == LATER_FRAGMENT) {
        __u32 *first = bpf_map_lookup_elem(&fragments, &id);

        return PACKET_KEY(first ? *first : PB_KEY_IP(at.protocol & 0xff), 0);
    }
    transport = transport_of(at.protocol);
    if (transport == PB_TRANSPORTS || bpf_skb_load_bytes(skb, at.offset, ports, sizeof(ports)))
        return PACKET_KEY(PB_KEY_IP(at.protocol & 0xff), at.offset);
    key = port_key(transport, ports[0], ports[1], egress ? egress_port : ingress_port);
    /* A GSO packet is no fragment; this may be the inside of one that is a tunnel's. */
    if (at.first_fragment && !skb->gso_size)
        bpf_map_update_elem(&fragments, &id, &key, BPF_ANY);
    return PACKET_KEY(key, at.offset) | at.jumbo;
}

/*
 * The EtherType behind the Ethernet header that ends at *offset and behind its tags (IEEE 802.1Q,
 * 802.1ad), where *offset is then. Tags that were read before, `tags`, are among MAX_TAGS. 0, which
 * is no EtherType: the packet ends before.
 */
static __always_inline __be16 ethernet_type(struct __sk_buff *skb, __u32 *offset, __u32 tags) {
    struct {
        __be16 tci;
        __be16 type; /* of what follows the tag */
    } tag;
    __be16 type = 0;

    bpf_skb_load_bytes(skb, *offset - sizeof(type), &type, sizeof(type));
    for (; tags < MAX_TAGS; tags++) {
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
            break;
        if (bpf_skb_load_bytes(skb, *offset, &tag, sizeof(tag)))
            return 0;
        type = tag.type;
        *offset += sizeof(tag);
    }
    return type;
}

/* l3: as far as the link layer tells; behind an Ethernet header there can be tags. */
static __always_inline struct packet_key slow_key(struct __sk_buff *skb, __u32 l3, __u32 egress) {
    __be16 type = skb->protocol;

    if (l2_len && !is_l3_hidden(l2_len))
        type = ethernet_type(skb, &l3, skb->vlan_present);
    if (type == bpf_htons(ETH_P_IP))
        return unpack_key(slow_ip(skb, l3, 0, egress));
    if (type == bpf_htons(ETH_P_IPV6))
        return unpack_key(slow_ip(skb, l3, 1, egress));
    return unpack_key(PACKET_KEY(PB_KEY_NONIP, 0));
}

#endif
