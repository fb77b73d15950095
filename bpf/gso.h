/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * GSO: one skb here, several packets on the wire. Each has a copy of the headers, skb->len has
 * them once.
 */
#ifndef PB_GSO_H
#define PB_GSO_H

#include <linux/udp.h>
#include <stddef.h>

#include "context.h"
#include "parse_slow.h"

/* Tunnels inside each other that are parsed in one packet: a bound, as MAX_EXTENSIONS is. */
#define MAX_TUNNELS 3

/* UDP ports of tunnels. */
#define VXLAN_PORT       4789 /* RFC 7348 section 8 */
#define VXLAN_LINUX_PORT 8472 /* drivers/net/vxlan: the default if none is given */
#define GENEVE_PORT      6081 /* RFC 8926 section 3.3 */

/* The first byte of GRE: each field that is present has 4 bytes. RFC 2784 section 2.1, RFC 2890. */
#define GRE_CHECKSUM 0x80
#define GRE_KEY      0x20
#define GRE_SEQUENCE 0x10

struct gre_hdr {
    __u8 flags;
    __u8 version;
    __be16 protocol; /* an EtherType */
};

/* The headers of VXLAN (RFC 7348 section 5) and Geneve (RFC 8926 section 3.4) are alike so far. */
struct udp_tunnel_hdr {
    struct udphdr udp;
    __u8 flags; /* Geneve: version and length of options */
    __u8 reserved;
    __be16 protocol; /* Geneve: an EtherType */
};

#define UDP_TUNNEL_HLEN 16   /* UDP's header and the 8 bytes of VXLAN's or Geneve's */
#define GENEVE_OPT_LEN  0x3f /* in the flags: length of options, in units of 4 bytes */

/* RFC 9293 section 3.1: the data offset is the upper half of byte 12, in units of 4 bytes. */
#define TCP_DOFF_BYTE  12
#define TCP_DOFF_SHIFT 4

#define SCTP_HLEN     12 /* RFC 9260 section 3.1 */
#define HBH_JUMBO_LEN 8  /* RFC 2675 section 2: a hop-by-hop header with the jumbo option */

/* In the result of gso_headers(): each header is known, so the length is exact. */
#define HEADERS_EXACT (1u << 31)

/* What an skb is on the wire. */
struct wire {
    __u64 packets;
    __u64 bytes;
};

/* Length of an IP packet by its own header. 0: more than 64 KB (BIG TCP), or not an IP packet. */
static __always_inline __u32 ip_length(struct __sk_buff *skb, __u32 offset, __be16 type) {
    __be16 length = 0;

    if (type == bpf_htons(ETH_P_IP))
        bpf_skb_load_bytes(skb, offset + offsetof(struct iphdr, tot_len), &length, sizeof(length));
    else if (type == bpf_htons(ETH_P_IPV6))
        bpf_skb_load_bytes(skb, offset + offsetof(struct ipv6hdr, payload_len), &length,
                           sizeof(length));
    if (!length)
        return 0;
    return bpf_ntohs(length) + (type == bpf_htons(ETH_P_IPV6) ? sizeof(struct ipv6hdr) : 0);
}

/*
 * If a tunnel's header is at offset: returns where the packet inside begins, behind its Ethernet
 * header if it has one, and sets *type to its EtherType. Otherwise returns 0.
 */
static __always_inline __u32 inner_offset(struct __sk_buff *skb, __u32 key, __u32 offset,
                                          __be16 *type) {
    struct udp_tunnel_hdr tunnel;
    struct gre_hdr gre;

    switch (key) {
    case PB_KEY_IP(IPPROTO_IPIP):
        *type = bpf_htons(ETH_P_IP);
        return offset;
    case PB_KEY_IP(IPPROTO_IPV6):
        *type = bpf_htons(ETH_P_IPV6);
        return offset;
    case PB_KEY_IP(IPPROTO_GRE):
        if (bpf_skb_load_bytes(skb, offset, &gre, sizeof(gre)))
            return 0;
        *type = gre.protocol;
        offset += sizeof(gre);
        offset += __builtin_popcount(gre.flags & (GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE)) * 4;
        break;
    default:
        if (key / PB_PORTS != PB_UDP || bpf_skb_load_bytes(skb, offset, &tunnel, sizeof(tunnel)))
            return 0;
        offset += UDP_TUNNEL_HLEN;
        switch (tunnel.udp.dest) {
        case bpf_htons(VXLAN_PORT):
        case bpf_htons(VXLAN_LINUX_PORT):
            *type = bpf_htons(ETH_P_TEB);
            break;
        case bpf_htons(GENEVE_PORT):
            *type = tunnel.protocol;
            offset += (tunnel.flags & GENEVE_OPT_LEN) * 4;
            break;
        default:
            return 0;
        }
    }
    if (*type == bpf_htons(ETH_P_TEB)) {
        offset += ETH_HLEN;
        *type = ethernet_type(skb, &offset, 0);
    }
    return offset;
}

/*
 * Length of the headers that each segment has, including those of tunnels; HEADERS_EXACT is set
 * in it unless there is a header that isn't known. key and offset are those of the outermost
 * packet, whose link layer ends at l3. What looks like a tunnel's header is one only if it carries
 * an IP packet that, by its own length, ends where the outer one does: a program may send several
 * datagrams of a tunnel at once (UDP_SEGMENT), and then the length is that of the first one. And
 * its headers must stand in the skb's linear part, where the kernel's own and GRO have them: what a
 * program sends so stands in page fragments (__ip_append_data() in net/ipv4/ip_output.c), and may
 * look like any headers, of 16 KB in each datagram. A global function: the verifier checks it once.
 */
__noinline __u32 gso_headers(PB_CONTEXT(context), __u32 key, __u32 offset, __u32 l3, __u32 egress) {
    struct __sk_buff *skb = context;
    __u32 linear = (void *)(long)skb->data_end - (void *)(long)skb->data;
    __u32 headers = l3;

    for (int tunnels = 0; tunnels <= MAX_TUNNELS && offset; tunnels++) {
        __u32 transport = key / PB_PORTS, length;
        struct packet_key inner;
        __be16 type = 0;
        int v6;

        if (transport == PB_TCP) {
            __u8 doff = 0;

            bpf_skb_load_bytes(skb, offset + TCP_DOFF_BYTE, &doff, sizeof(doff));
            return (offset + (doff >> TCP_DOFF_SHIFT) * 4) | HEADERS_EXACT;
        }
        if (transport == PB_SCTP)
            return (offset + SCTP_HLEN) | HEADERS_EXACT;
        headers = offset;
        if (transport == PB_UDP) {
            headers += sizeof(struct udphdr);
            if (tunnels > 0)
                headers |= HEADERS_EXACT;
        }

        offset = inner_offset(skb, key, offset, &type);
        v6 = type == bpf_htons(ETH_P_IPV6);
        if (!offset || (!v6 && type != bpf_htons(ETH_P_IP)))
            break;
        length = ip_length(skb, offset, type);
        if (length && offset + length != skb->len)
            break;
        inner = unpack_key(slow_ip(skb, offset, v6, egress));
        if (inner.offset > linear)
            break;
        key = inner.key;
        offset = inner.offset;
    }
    return headers;
}

/*
 * Where a header is unknown, the kernel's own figure (skb->wire_len) is used unless it is absurd.
 * It is no better: at egress it counts from L2, and has the inner headers of GRE and UDP tunnels
 * only from Linux 6.17 on (6.12 in its stable releases); at ingress it counts from L3, and isn't
 * set before 6.19 (f9e00e51e391).
 */
static __always_inline struct wire gso_wire(struct __sk_buff *skb, struct packet_key packet,
                                            __u32 l3, __u32 egress) {
    struct wire wire = {.packets = skb->gso_segs, .bytes = skb->len};
    __u32 size = skb->gso_size, headers, exact;

    headers = gso_headers(skb, packet.key, packet.offset, l3, egress);
    exact = headers & HEADERS_EXACT;
    headers &= ~HEADERS_EXACT;
    if (wire.packets == 0) {
        wire.packets = 1;
        if (skb->len > headers)
            wire.packets = (skb->len - headers + size - 1) / size;
    }
    if (!exact && skb->wire_len > skb->len && skb->wire_len <= wire.packets * skb->len &&
        skb->wire_len >= wire.packets * l3) {
        wire.bytes = skb->wire_len + (egress ? 0 : wire.packets * l3);
        return wire;
    }
    /* BIG TCP: the kernel removes this header before segmentation (09f3d1a3a52c). */
    if (packet.jumbo) {
        headers -= HBH_JUMBO_LEN;
        wire.bytes -= HBH_JUMBO_LEN;
    }
    wire.bytes += (wire.packets - 1) * headers;
    return wire;
}

#endif
