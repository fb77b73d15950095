# SPDX-License-Identifier: MIT
"""Skbs that stand for several packets, and what they are on the wire.

The numbers of CASES are written by hand. Each segment repeats the headers: link
header, IP header with options or extension headers, TCP with options or UDP,
and all of them again in a tunnel; bytes are the skb's own plus the headers of
all segments but the first.
"""

from collections import namedtuple

import mutate
from frames import (IPV4, IPV6, SERVICE, VLAN, ah, chain, ethernet, extension, geneve, gre, ipv4,
                    ipv6, sctp, tcp, udp, vxlan)

# gso: gso_size, gso_segs, wire_len. into and out: key, packets, bytes.
Case = namedtuple("Case", "name frame gso into out link protocol")

ETH4, ETH6 = ethernet(IPV4), ethernet(IPV6)
K = b"k" * 1000


def case(name, frame, gso, packets, size, transport="tcp", out=None, link="ethernet",
         protocol=None, keys=None):
    """keys: at ingress and at egress, for what isn't sent from port 40001 to 443."""
    keys = keys or (transport + " 443", transport + " 40001")
    out = out or (packets, size)
    return Case(name, frame, gso, (keys[0], packets, size), (keys[1], *out), link, protocol)


def outer(name, frame, keys, gso, packets, size, out=None, **how):
    """A tunnel: keys are one that is meant for both directions, or the ports of a UDP header."""
    keys = ("udp %d" % keys[1], "udp %d" % keys[0]) if isinstance(keys, tuple) else (keys, keys)
    return case(name, frame, gso, packets, size, out=out, keys=keys, **how)


def t(payload=K, options=b""):
    return tcp(40001, 443, payload, options)


def u(payload=K):
    return udp(40001, 443, payload)


TAP = 0x6558  # Ethernet in GRE and Geneve: "Transparent Ethernet Bridging"
OVER_VXLAN, OVER_LINUX, OVER_GENEVE = (50000, 4789), (50000, 8472), (50000, 6081)
IN4, IN6 = ipv4(6, t()), ipv6(6, t())  # 1040 and 1060 bytes

# A datagram of VXLAN, 100 bytes, as programs send several at once (UDP_SEGMENT)
DATAGRAM = b"\x08\0\0\0\0\0\x07\0" + ETH4 + ipv4(17, udp(1, 2, b"k" * 50))


def nested(times, packet):
    for _ in range(times):
        packet = ipv4(47, gre(IPV4, packet))
    return packet


CASES = (
    # 14 + 20 + 20 = 54 bytes of headers, 1054 in all
    case("TCP", ETH4 + ipv4(6, t()), (100, 10, 0), 10, 1054 + 9 * 54),
    case("TCP, segments unknown", ETH4 + ipv4(6, t()), (100, 0, 0), 10, 1054 + 9 * 54),
    case("one byte more", ETH4 + ipv4(6, t(K + b"k")), (100, 0, 0), 11, 1055 + 10 * 54),
    case("one byte less", ETH4 + ipv4(6, t(K[1:])), (100, 0, 0), 10, 1053 + 9 * 54),
    case("size 1", ETH4 + ipv4(6, t()), (1, 0, 0), 1000, 1054 + 999 * 54),
    case("size as the payload", ETH4 + ipv4(6, t()), (1000, 0, 0), 1, 1054),
    case("size over the payload", ETH4 + ipv4(6, t()), (1001, 0, 0), 1, 1054),
    case("one segment", ETH4 + ipv4(6, t()), (1000, 1, 0), 1, 1054),
    case("segments are believed", ETH4 + ipv4(6, t()), (100, 7, 0), 7, 1054 + 6 * 54),
    case("65535 segments", ETH4 + ipv4(6, t()), (8, 65535, 0), 65535, 1054 + 65534 * 54),
    case("no segmentation, one segment", ETH4 + ipv4(6, t()), (0, 1, 0), 1, 1054),
    case("MSS 1448, timestamps", ETH4 + ipv4(6, t(b"k" * 2896, b"\1" * 12)), (1448, 2, 0), 2,
         2962 + 66),
    case("TCP options 12", ETH4 + ipv4(6, t(options=b"\1" * 12)), (100, 10, 0), 10,
         1066 + 9 * 66),
    case("TCP options 12, segments unknown", ETH4 + ipv4(6, t(options=b"\1" * 12)), (100, 0, 0),
         10, 1066 + 9 * 66),
    case("TCP options 40", ETH4 + ipv4(6, t(options=b"\1" * 40)), (100, 10, 0), 10,
         1094 + 9 * 94),
    case("IPv4 options 8", ETH4 + ipv4(6, t(), options=b"\1" * 8), (100, 10, 0), 10,
         1062 + 9 * 62),
    case("IPv4 and TCP options 40", ETH4 + ipv4(6, t(options=b"\1" * 40), options=b"\1" * 40),
         (100, 0, 0), 10, 1134 + 9 * 134),
    # 14 + 40 + 20 = 74
    case("IPv6", ETH6 + ipv6(6, t()), (100, 10, 0), 10, 1074 + 9 * 74),
    case("IPv6, segments unknown", ETH6 + ipv6(6, t()), (100, 0, 0), 10, 1074 + 9 * 74),
    case("IPv6, TCP options 12", ETH6 + ipv6(6, t(options=b"\1" * 12)), (100, 0, 0), 10,
         1086 + 9 * 86),
    case("IPv6 hop-by-hop 8", ETH6 + ipv6(0, extension(6) + t()), (100, 10, 0), 10,
         1082 + 9 * 82),
    case("IPv6 hop-by-hop 8, options 16", ETH6 + ipv6(0, extension(60) + extension(6, 1) + t()),
         (100, 0, 0), 10, 1098 + 9 * 98),
    case("IPv4 AH 24", ETH4 + ipv4(51, ah(6, 4) + t()), (100, 10, 0), 10, 1078 + 9 * 78),
    case("a tag", ethernet(IPV4, VLAN) + ipv4(6, t()), (100, 10, 0), 10, 1058 + 9 * 58),
    case("two tags", ethernet(IPV4, SERVICE, VLAN) + ipv4(6, t()), (100, 0, 0), 10,
         1062 + 9 * 62),
    case("two tags, IPv6", ethernet(IPV6, VLAN, VLAN) + ipv6(6, t()), (100, 0, 0), 10,
         1082 + 9 * 82),
    case("three tags", ethernet(IPV4, SERVICE, VLAN, VLAN) + ipv4(6, t()), (100, 0, 0), 10,
         1066 + 9 * 66),
    # 14 + 20 + 8 = 42; 14 + 40 + 8 = 62
    case("UDP", ETH4 + ipv4(17, u()), (100, 10, 0), 10, 1042 + 9 * 42, "udp"),
    case("UDP, segments unknown", ETH4 + ipv4(17, u()), (300, 0, 0), 4, 1042 + 3 * 42, "udp"),
    case("UDP, IPv4 options", ETH4 + ipv4(17, u(), options=b"\1" * 12), (300, 0, 0), 4,
         1054 + 3 * 54, "udp"),
    case("UDP, IPv6", ETH6 + ipv6(17, u()), (300, 0, 0), 4, 1062 + 3 * 62, "udp"),
    case("UDP, IPv6 options", ETH6 + ipv6(60, extension(17) + u()), (300, 4, 0), 4,
         1070 + 3 * 70, "udp"),
    # 14 + 20 + 12 = 46, 14 + 40 + 12 = 66; GSO_BY_FRAGS (linux/skbuff.h) is 0xFFFF
    case("SCTP", ETH4 + ipv4(132, sctp(40001, 443, K)), (0xFFFF, 3, 0), 3, 1046 + 2 * 46,
         "sctp"),
    case("SCTP, IPv6", ETH6 + ipv6(132, sctp(40001, 443, K)), (0xFFFF, 5, 0), 5, 1066 + 4 * 66,
         "sctp"),
    case("SCTP, IPv4 options, a tag", ethernet(IPV4, VLAN) +
         ipv4(132, sctp(40001, 443, K), options=b"\1" * 4), (0xFFFF, 3, 0), 3, 1054 + 2 * 54,
         "sctp"),
    # 20 + 20 = 40; 40 + 20 = 60
    case("no link header", ipv4(6, t()), (100, 10, 0), 10, 1040 + 9 * 40, link="raw",
         protocol=IPV4),
    case("no link header, segments unknown", ipv4(6, t(options=b"\1" * 12)), (100, 0, 0), 10,
         1052 + 9 * 52, link="raw", protocol=IPV4),
    case("no link header, IPv6", ipv6(6, t()), (100, 0, 0), 10, 1060 + 9 * 60, link="raw",
         protocol=IPV6),
    case("no link header, UDP", ipv6(17, u()), (300, 0, 0), 4, 1048 + 3 * 48, "udp", link="raw",
         protocol=IPV6),
    # Headers cut short: what of them can be read
    case("half a TCP header", ETH4 + ipv4(6, t()[:12]), (100, 5, 0), 5, 46 + 4 * 34),
    # RFC 2675: 8 bytes for a length of more than 64 KB, which is no segment's
    case("IPv6 jumbogram", ETH6 + ipv6(0, extension(6) + t(), length=0), (100, 10, 0), 10,
         1074 + 9 * 74),
    # Fragments are not segmented, so these are none
    case("a first fragment", ETH4 + ipv4(6, t(), ident=4711, more=True), (100, 10, 0), 10,
         1054 + 9 * 54),
    outer("what would follow it", ETH4 + ipv4(6, t(), ident=4711, offset=10), "ip 6", (100, 10, 0),
          10, 1054 + 9 * 14),

    # ---- tunnels ----
    # 14 + 20 + 20 + 20 = 74 and so on
    outer("IPv4 in IPv4", ETH4 + ipv4(4, IN4), "ip 4", (100, 10, 0), 10, 1074 + 9 * 74),
    outer("IPv6 in IPv4", ETH4 + ipv4(41, IN6), "ip 41", (100, 0, 0), 10, 1094 + 9 * 94),
    outer("IPv4 in IPv6", ETH6 + ipv6(4, IN4), "ip 4", (100, 0, 0), 10, 1094 + 9 * 94),
    outer("IPv6 in IPv6, options 8", ETH6 + ipv6(60, extension(41) + IN6), "ip 41", (100, 10, 0),
          10, 1122 + 9 * 122),
    outer("UDP in IPv4", ETH4 + ipv4(4, ipv4(17, u())), "ip 4", (300, 0, 0), 4, 1062 + 3 * 62),
    outer("SCTP in IPv6", ETH6 + ipv6(4, ipv4(132, sctp(1, 2, K))), "ip 4", (0xFFFF, 3, 0), 3,
          1086 + 2 * 86),
    # GRE has 4 bytes and 4 for each that is optional
    outer("GRE", ETH4 + ipv4(47, gre(IPV4, IN4)), "ip 47", (100, 10, 0), 10, 1078 + 9 * 78),
    outer("GRE, checksum", ETH4 + ipv4(47, gre(IPV4, IN4, 0x8000)), "ip 47", (100, 0, 0), 10,
          1082 + 9 * 82),
    outer("GRE, key", ETH4 + ipv4(47, gre(IPV4, IN4, 0x2000)), "ip 47", (100, 0, 0), 10,
          1082 + 9 * 82),
    outer("GRE, sequence number", ETH4 + ipv4(47, gre(IPV4, IN4, 0x1000)), "ip 47", (100, 0, 0),
          10, 1082 + 9 * 82),
    outer("GRE, all three, IPv6 in IPv6", ETH6 + ipv6(47, gre(IPV6, IN6, 0xB000)), "ip 47",
          (100, 0, 0), 10, 1130 + 9 * 130),
    outer("GRE, options of both IP headers and of TCP", ETH4 + ipv4(47, gre(IPV4, ipv4(
        6, t(options=b"\1" * 12), options=b"\1" * 8)), options=b"\1" * 4), "ip 47", (100, 0, 0),
          10, 1102 + 9 * 102),
    outer("GRE, Ethernet", ETH4 + ipv4(47, gre(TAP, ETH4 + IN4)), "ip 47", (100, 0, 0), 10,
          1092 + 9 * 92),
    outer("GRE, Ethernet with a tag, IPv6", ETH4 + ipv4(47, gre(TAP, ethernet(IPV6, VLAN) + IN6)),
          "ip 47", (100, 0, 0), 10, 1116 + 9 * 116),
    outer("GRE, no link header", ipv4(47, gre(IPV4, IN4)), "ip 47", (100, 0, 0), 10, 1064 + 9 * 64,
          link="raw", protocol=IPV4),
    # 14 + 20 + 8 + 8 + 14 + 20 + 20 = 104
    outer("VXLAN", ETH4 + ipv4(17, vxlan(ETH4 + IN4)), OVER_VXLAN, (100, 10, 0), 10,
          1104 + 9 * 104),
    outer("VXLAN, Linux's old port, a tag", ethernet(IPV4, VLAN) + ipv4(17, vxlan(
        ETH4 + IN4, 8472)), OVER_LINUX, (100, 0, 0), 10, 1108 + 9 * 108),
    outer("VXLAN over IPv6, IPv6", ETH6 + ipv6(17, vxlan(ETH6 + IN6)), OVER_VXLAN, (100, 0, 0), 10,
          1144 + 9 * 144),
    outer("VXLAN, two tags, UDP", ETH4 + ipv4(17, vxlan(ethernet(
        IPV4, SERVICE, VLAN) + ipv4(17, u()))), OVER_VXLAN, (300, 0, 0), 4, 1100 + 3 * 100),
    outer("VXLAN, three tags", ETH4 + ipv4(17, vxlan(ethernet(IPV4, SERVICE, VLAN, VLAN) + IN4)),
          OVER_VXLAN, (100, 0, 0), 10, 1116 + 9 * 116),
    # With a fourth one it is no IP packet, so 14 + 20 + 8 are read
    outer("VXLAN, four tags", ETH4 + ipv4(17, vxlan(ethernet(IPV4, VLAN, VLAN, VLAN, VLAN) + IN4)),
          OVER_VXLAN, (100, 10, 0), 10, 1120 + 9 * 42),
    outer("VXLAN, IPv4 in IPv4", ETH4 + ipv4(17, vxlan(ETH4 + ipv4(4, IN4))), OVER_VXLAN,
          (100, 0, 0), 10, 1124 + 9 * 124),
    outer("Geneve", ETH4 + ipv4(17, geneve(TAP, ETH4 + IN4)), OVER_GENEVE, (100, 0, 0), 10,
          1104 + 9 * 104),
    outer("Geneve, options 12", ETH4 + ipv4(17, geneve(TAP, ETH4 + IN4, b"\2" * 12)), OVER_GENEVE,
          (100, 0, 0), 10, 1116 + 9 * 116),
    outer("Geneve, options 252, IPv6", ETH6 + ipv6(17, geneve(IPV6, IN6, b"\2" * 252)),
          OVER_GENEVE, (100, 0, 0), 10, 1382 + 9 * 382),
    outer("Geneve, the two bits before", ETH4 + ipv4(17, geneve(IPV4, IN4, b"\2" * 4, 3)),
          OVER_GENEVE, (100, 0, 0), 10, 1094 + 9 * 94),
    outer("over 64 KB in a tunnel", ETH4 + ipv4(47, gre(IPV4, ipv4(6, t(), length=0))), "ip 47",
          (100, 0, 0), 10, 1078 + 9 * 78),
    outer("three tunnels", ETH4 + nested(3, IN4), "ip 47", (100, 0, 0), 10, 1126 + 9 * 126),
    # What one can't know. 14 + 4 * 20 + 3 * 4 = 106 are read
    outer("four tunnels", ETH4 + nested(4, IN4), "ip 47", (100, 10, 0), 10, 1150 + 9 * 106),
    outer("ESP", ETH4 + ipv4(50, K), "ip 50", (100, 0, 0), 10, 1034 + 9 * 34),
    outer("MPLS", ethernet(0x8847) + K, "nonip", (100, 10, 0), 10, 1014 + 9 * 14),
    outer("nothing", ETH4 + ipv4(4), "ip 4", (100, 10, 0), 10, 34 + 9 * 34),
    # Ports of tunnels, but none there. A tunnel's inner packet ends where the outer does
    outer("VXLAN's port", ETH4 + ipv4(17, udp(50000, 4789, K)), OVER_VXLAN, (300, 0, 0), 4,
          1042 + 3 * 42),
    outer("Geneve's port", ETH4 + ipv4(17, udp(50000, 6081, K)), OVER_GENEVE, (300, 0, 0), 4,
          1042 + 3 * 42),
    outer("datagrams of VXLAN", ETH4 + ipv4(17, udp(50000, 4789, DATAGRAM * 10)), OVER_VXLAN,
          (100, 10, 0), 10, 1042 + 9 * 42),
    outer("TCP that ends before", ETH4 + ipv4(17, vxlan(ETH4 + ipv4(6, t(), length=1039))),
          OVER_VXLAN, (100, 11, 0), 11, 1104 + 10 * 42),
    outer("TCP that ends behind", ETH4 + ipv4(47, gre(IPV6, ipv6(6, t(), length=1021))), "ip 47",
          (100, 11, 0), 11, 1098 + 10 * 34),

    # ---- the kernel's own figure ----
    # From the link layer on at egress, from the network layer on at ingress
    # (net/core/dev.c, sch_handle_ingress, 6.19), where 14 bytes of Ethernet come
    # to each packet. For what may have headers that one doesn't know, UDP included
    case("wire_len", ETH4 + ipv4(17, u()), (100, 10, 1600), 10, 1600 + 140, "udp",
         out=(10, 1600)),
    case("wire_len, segments unknown", ETH4 + ipv4(17, u()), (100, 0, 1600), 10, 1600 + 140,
         "udp", out=(10, 1600)),
    case("wire_len, IPv6 UDP", ETH6 + ipv6(17, u()), (300, 4, 2000), 4, 2000 + 56, "udp",
         out=(4, 2000)),
    case("wire_len just more", ETH4 + ipv4(17, u()), (100, 10, 1043), 10, 1043 + 140, "udp",
         out=(10, 1043)),
    case("wire_len as the length", ETH4 + ipv4(17, u()), (100, 10, 1042), 10, 1420, "udp"),
    case("wire_len as all of it each time", ETH4 + ipv4(17, u()), (100, 10, 10420), 10,
         10420 + 140, "udp", out=(10, 10420)),
    case("wire_len over that", ETH4 + ipv4(17, u()), (100, 10, 10421), 10, 1420, "udp"),
    case("wire_len, no link header", ipv6(17, u()), (100, 10, 1600), 10, 1600, "udp", link="raw",
         protocol=IPV6),
    outer("wire_len, a tunnel of one's own", ETH4 + ipv4(17, vxlan(ETH4 + IN4, 4791)),
          (50000, 4791), (100, 10, 2040 - 140), 10, 2040, out=(10, 2040 - 140)),
    outer("wire_len, four tunnels", ETH4 + nested(4, IN4), "ip 47", (100, 10, 2500), 10, 2640,
          out=(10, 2500)),
    outer("wire_len, ESP", ETH4 + ipv4(50, K), "ip 50", (100, 10, 1600), 10, 1740,
          out=(10, 1600)),
    outer("wire_len, MPLS", ethernet(0x8847) + K, "nonip", (100, 10, 1600), 10, 1740,
          out=(10, 1600)),
    # ... and not where one knows better
    case("wire_len, TCP", ETH4 + ipv4(6, t()), (100, 10, 1600), 10, 1054 + 9 * 54),
    case("wire_len, SCTP", ETH4 + ipv4(132, sctp(40001, 443, K)), (0xFFFF, 3, 3000), 3, 1138,
         "sctp"),
    outer("wire_len, GRE", ETH4 + ipv4(47, gre(IPV4, IN4)), "ip 47", (100, 10, 1600), 10,
          1078 + 9 * 78),
    outer("wire_len, UDP in VXLAN", ETH4 + ipv4(17, vxlan(ETH4 + ipv4(17, u()))), OVER_VXLAN,
          (100, 10, 1600), 10, 1092 + 9 * 92),

    # ---- a link header whose length is not told; it is 14 ----
    case("link unknown", ETH4 + ipv4(6, t()), (100, 0, 1600), 10, 1054 + 9 * 54, link="gre",
         protocol=IPV4),
    case("link unknown, IPv6", ETH6 + ipv6(0, extension(6) + t()), (100, 0, 0), 10, 1082 + 9 * 82,
         link="gre", protocol=IPV6),
    case("link unknown, over 64 KB", ETH4 + ipv4(6, t(), length=0), (100, 10, 0), 10, 1054 + 9 * 54,
         link="gre", protocol=IPV4),
    case("link unknown, a trailer", ETH4 + ipv4(6, t()) + b"\xff" * 9, (100, 10, 0), 10,
         1063 + 9 * 54, link="gre", protocol=IPV4),
    outer("link unknown, MPLS", ethernet(0x8847) + K, "nonip", (100, 10, 0), 10, 1014 + 9 * 14,
          link="gre", protocol=0x8847),
    outer("link unknown, GRE", ETH4 + ipv4(47, gre(IPV4, IN4)), "ip 47", (100, 0, 0), 10,
          1078 + 9 * 78, link="gre", protocol=IPV4),
    outer("link unknown, VXLAN", ETH4 + ipv4(17, vxlan(ETH6 + IN6)), OVER_VXLAN, (100, 0, 0), 10,
          1124 + 9 * 124, link="gre", protocol=IPV4),
    case("link unknown, wire_len", ETH4 + ipv4(17, u()), (100, 10, 1600), 10, 1600 + 140, "udp",
         out=(10, 1600), link="gre", protocol=IPV4),
    # ... and not to be counted
    case("link foreign", ETH4 + ipv4(6, t()), (100, 0, 1600), 10, 1040 + 9 * 40, link="foreign",
         protocol=IPV4),
    case("link foreign, IPv6", ETH6 + ipv6(0, extension(6) + t()), (100, 0, 0), 10, 1068 + 9 * 68,
         link="foreign", protocol=IPV6),
    case("link foreign, over 64 KB", ETH4 + ipv4(6, t(), length=0), (100, 10, 0), 10, 1040 + 9 * 40,
         link="foreign", protocol=IPV4),
    outer("link foreign, GRE", ETH4 + ipv4(47, gre(IPV4, IN4)), "ip 47", (100, 0, 0), 10,
          1064 + 9 * 64, link="foreign", protocol=IPV4),
    outer("link foreign, MPLS", ethernet(0x8847) + K, "nonip", (100, 10, 0), 10, 1000,
          link="foreign", protocol=0x8847),
    case("link foreign, wire_len", ETH4 + ipv4(17, u()), (100, 10, 1600), 10, 1600, "udp",
         out=(10, 1600 - 140), link="foreign", protocol=IPV4),
)


def sweep(random, count):
    """Random well-formed skbs and their gso_size, gso_segs, wire_len."""
    for _ in range(count):
        payload = bytes(random.randrange(1, 1500))
        transport = random.choice((6, 6, 17, 132))
        if transport == 6:
            data = tcp(random.randrange(65536), random.randrange(65536), payload,
                       b"\1" * random.randrange(0, 44, 4))
        else:
            build = udp if transport == 17 else sctp
            data = build(random.randrange(65536), random.randrange(65536), payload)
        tags = [random.choice((VLAN, SERVICE)) for _ in range(random.choice((0, 0, 1, 2, 3)))]
        if random.random() < 0.5:
            packet = ipv4(transport, data, b"\1" * random.choice((0, 0, 4, 12, 40)))
            frame = ethernet(IPV4, *tags) + packet
        else:
            headers = [random.choice((0, 43, 51, 60)) for _ in range(random.choice((0, 0, 1, 3)))]
            frame = ethernet(IPV6, *tags) + ipv6(*chain(headers, transport, data))
        size = random.choice((1, 7, 100, 536, 1220, 1448, 1500, random.randrange(1, 9000)))
        segments = random.choice((0, 0, 1, 2, random.randrange(1, 1000)))
        if transport == 132:
            size, segments = 0xFFFF, max(segments, 1)
        wire = random.choice((0, 0, len(frame) + random.randrange(1, 60000)))
        yield frame, (size, segments, wire)


def tunnel(random, packet, ethertype, honest):
    """The IP packet in a tunnel: (packet, ethertype). Unless honest, of any kind and length."""
    kind = random.choice(("ip", "gre", "gretap", "vxlan", "geneve", "geneve-ip"))
    if kind in ("gretap", "vxlan", "geneve"):
        tags = [random.choice((VLAN, SERVICE)) for _ in range(random.choice((0, 0, 1, 2, 3, 4)))]
        packet = ethernet(ethertype, *tags[honest:]) + packet
        ethertype = TAP
    following = 17
    if kind == "ip":
        following = 4 if ethertype == IPV4 else 41
    elif kind in ("gre", "gretap"):
        following, packet = 47, gre(ethertype, packet, random.choice((0, 0x2000, 0x8000, 0xB000)))
    elif kind == "vxlan":
        ports = (4789, 8472) if honest else (4789, 4790, 8472, 6081)
        packet = vxlan(packet, random.choice(ports))
    else:
        packet = geneve(ethertype, packet, bytes(random.choice((0, 0, 4, 60))))
    return ip(random, following, packet, 0 if honest else random.choice((0, 0, 0, -1, 1)))


def ip(random, following, payload, wrong=0):
    """In IPv4 or IPv6: (packet, ethertype). wrong is what its length is off by."""
    if random.random() < 0.5:
        options = b"\1" * random.choice((0, 0, 4, 40))
        length = random.choice((20 + len(options) + len(payload) + wrong,) * 4 + (0,))
        return ipv4(following, payload, options, length=length), IPV4
    extensions = [random.choice((0, 43, 51, 60)) for _ in range(random.choice((0, 0, 1, 3)))]
    following, payload = chain(extensions, following, payload)
    length = random.choice((len(payload) + wrong,) * 4 + (0,))
    return ipv6(following, payload, length=length), IPV6


def tunnels(random, count):
    """Random skbs of tunnels, two in three as they should be, and their gso_size and so on."""
    for number in range(count):
        honest = number % 3 != 0
        payload = bytes(random.randrange(1, 1500))
        kind = random.choice((6, 6, 17, 132, 50))
        build = {6: tcp, 17: udp, 132: sctp, 50: udp}[kind]
        packet, ethertype = ip(random, kind, build(random.randrange(65536), random.randrange(65536),
                                                   payload))
        for _ in range(random.choice((1, 1, 2, 3) if honest else (0, 1, 2, 3, 4, 5))):
            packet, ethertype = tunnel(random, packet, ethertype, honest)
        frame = bytearray(ethernet(ethertype) + packet)
        if not honest and random.random() < 0.5:
            random.choice((mutate.flip, mutate.set_byte, mutate.any_byte))(random, frame)
        if not honest and len(frame) > 60 and random.random() < 0.2:
            del frame[random.randrange(60, len(frame)):]
        size = random.choice((1, 7, 100, 536, 1220, 1448, 0xFFFF))
        segments = random.choice((0, 0, 1, 2, random.randrange(1, 1000)))
        wire = random.choice((0, 0, len(frame) + random.randrange(1, 60000)))
        yield bytes(frame), (size, segments, wire)
