/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The key of a packet, fast path: nearly every packet of nearly every host.
 */
#ifndef PB_PARSE_H
#define PB_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tc_portbytes.h"

/*
 * Settings; the program that includes this defines them. They are written before loading, so the
 * verifier takes them as constants and removes dead branches.
 */
extern const volatile __u32 l2_len;       /* bytes in front of L3; 0: none; or one of PB_L2_* */
extern const volatile __u32 ingress_port; /* enum pb_port */
extern const volatile __u32 egress_port;  /* enum pb_port */

/* RFC 791 section 3.1, in host byte order; names as in the kernel's include/net/ip.h. */
#define IP_MF     0x2000 /* more fragments */
#define IP_OFFSET 0x1fff /* fragment offset */

/* RFC 791 section 3.1, the first byte: version 4, a header of 5 words, so without options. */
#define IPV4_WITHOUT_OPTIONS 0x45

/* Whether an l2_len is no number: only the kernel knows where L3 is, see l3_offset(). */
static __always_inline int is_l3_hidden(__u32 l2) {
    return l2 >= PB_L2_XFRM;
}

struct packet_key {
    __u32 key;
    __u32 offset; /* of the header behind IP's; 0: none, or a later fragment */
    __u32 jumbo;  /* an IPv6 jumbogram (RFC 2675); if the skb is GSO as well, BIG TCP */
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

/*
 * Ethernet without tags or no link layer at all, IPv4 without options and not a fragment or IPv6
 * without extension headers, TCP or UDP, all of it in the linear part of the skb. Returns 1 and
 * sets *packet for these, 0 for every other packet.
 */
static __always_inline int fast_key(struct __sk_buff *skb, __u32 egress,
                                    struct packet_key *packet) {
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 l2 = l2_len, protocol, transport, offset;
    void *l3 = data + l2;
    __be16 type, *ports;

    if (is_l3_hidden(l2))
        return 0;
    if (l2) {
        if (l3 > end)
            return 0;
        type = *(__be16 *)(data + offsetof(struct ethhdr, h_proto)); /* that struct is packed */
    } else {
        type = skb->protocol;
    }

    if (type == bpf_htons(ETH_P_IP)) {
        struct iphdr *ip = l3;

        ports = (void *)(ip + 1);
        if ((void *)(ports + 2) > end)
            return 0;
        if (*(__u8 *)ip != IPV4_WITHOUT_OPTIONS || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
            return 0;
        protocol = ip->protocol;
        offset = l2 + sizeof(*ip);
    } else if (type == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = l3;

        ports = (void *)(ip6 + 1);
        if ((void *)(ports + 2) > end)
            return 0;
        if (*(__u8 *)ip6 >> 4 != 6) /* RFC 8200 section 3: version */
            return 0;
        protocol = ip6->nexthdr;
        offset = l2 + sizeof(*ip6);
    } else {
        return 0;
    }

    if (protocol == IPPROTO_TCP)
        transport = PB_TCP;
    else if (protocol == IPPROTO_UDP)
        transport = PB_UDP;
    else
        return 0;
    packet->key = port_key(transport, ports[0], ports[1], egress ? egress_port : ingress_port);
    packet->offset = offset;
    packet->jumbo = 0;
    return 1;
}

#endif
