# SPDX-License-Identifier: MIT
"""Skbs that stand for several packets, and what they are on the wire.

The numbers of CASES are written by hand. headers is what each segment repeats:
link header, IP header with options or extension headers, TCP with options or
UDP; bytes are the skb's own plus the headers of all segments but the first.
"""

from collections import namedtuple

from frames import (IPV4, IPV6, SERVICE, VLAN, ah, chain, ethernet, extension, ipv4, ipv6, sctp,
                    tcp, udp)

# gso: gso_size, gso_segs, wire_len. into and out: key, packets, bytes.
Case = namedtuple("Case", "name frame gso into out link protocol")

ETH4, ETH6 = ethernet(IPV4), ethernet(IPV6)
K = b"k" * 1000


def case(name, frame, gso, packets, size, transport="tcp", out=None, link="ethernet",
         protocol=None):
    into = (transport + " 443", packets, size)
    out = (transport + " 40001",) + (out or (packets, size))
    return Case(name, frame, gso, into, out, link, protocol)


def t(payload=K, options=b""):
    return tcp(40001, 443, payload, options)


def u(payload=K):
    return udp(40001, 443, payload)


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
    # The kernel's own figure: from the link layer on at egress, from the network
    # layer on at ingress (net/core/dev.c, sch_handle_ingress, 6.19), where 14
    # bytes of Ethernet come to each packet
    case("wire_len", ETH4 + ipv4(6, t()), (100, 10, 1600), 10, 1600 + 140, out=(10, 1600)),
    case("wire_len, segments unknown", ETH4 + ipv4(6, t()), (100, 0, 1600), 10, 1600 + 140,
         out=(10, 1600)),
    case("wire_len, IPv6 UDP", ETH6 + ipv6(17, u()), (300, 4, 2000), 4, 2000 + 56, "udp",
         out=(4, 2000)),
    case("wire_len just more", ETH4 + ipv4(6, t()), (100, 10, 1055), 10, 1055 + 140,
         out=(10, 1055)),
    case("wire_len as the length", ETH4 + ipv4(6, t()), (100, 10, 1054), 10, 1540),
    # ... and never for SCTP, whose own headers it leaves out
    case("wire_len, SCTP", ETH4 + ipv4(132, sctp(40001, 443, K)), (0xFFFF, 3, 5000), 3, 1138,
         "sctp"),
    case("wire_len, no link header", ipv4(6, t()), (100, 10, 1600), 10, 1600, link="raw",
         protocol=IPV4),
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
        tags = [random.choice((VLAN, SERVICE)) for _ in range(random.choice((0, 0, 1, 2)))]
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
