# SPDX-License-Identifier: MIT
"""Packets and the keys they have to be counted under, written down by hand.

Nothing here is computed by the reference reader: the reference is checked
against these tables just as the kernel is. Unless a case says otherwise ports
are counted as CountBy "local" does: the destination's (443) at ingress, the
source's (40001) at egress.
"""

from collections import namedtuple

from frames import (IPV4, IPV6, SERVICE, VLAN, ah, chain, ethernet, extension, fragment6, ipv4,
                    ipv6, on_raw_link, sctp, tcp, udp)

# protocol is the skb's own, for raw links; into and out are keys, None where
# the frame is not sent in that direction.
Step = namedtuple("Step", "frame into out protocol")
# The steps of a scene share the memory of first fragments, scenes do not.
Scene = namedtuple("Scene", "name steps link count_by")

SRC, DST = 40001, 443
TCP, UDP, SCTP = tcp(SRC, DST, b"x" * 8), udp(SRC, DST, b"x" * 8), sctp(SRC, DST, b"x" * 8)
AS_TCP, AS_UDP, AS_SCTP = [("%s 443" % p, "%s 40001" % p) for p in ("tcp", "udp", "sctp")]
NONIP = ("nonip", "nonip")
ETH4, ETH6 = ethernet(IPV4), ethernet(IPV6)


def as_ip(protocol):
    return "ip %d" % protocol, "ip %d" % protocol


def step(frame, expected, protocol=None):
    return Step(frame, expected[0], expected[1], protocol)


def scene(name, *steps, link="ethernet", count_by="local"):
    return Scene(name, [step(*s) for s in steps], link, count_by)


def one(name, frame, expected, **how):
    return scene(name, (frame, expected), **how)


def cut(name, frame, *ranges, link="ethernet", protocol=None):
    """Every truncation: ranges are (first length, expected), in rising order.

    test_run takes no frame of fewer than 14 bytes.
    """
    for length in range(14, len(frame) + 1):
        expected = [e for first, e in ranges if first <= length][-1]
        yield scene("%s, cut to %d" % (name, length), (frame[:length], expected, protocol),
                    link=link)


def plain():
    """Each transport, each CountBy, each direction, each kind of link"""
    # CountBy: key at ingress and at egress, of a packet from 40001 to 443 and
    # of one from 443 to 40001.
    table = {
        "local": ((443, 40001), (40001, 443)),
        "remote": ((40001, 443), (443, 40001)),
        "destination": ((443, 443), (40001, 40001)),
        "source": ((40001, 40001), (443, 443)),
        "lower": ((443, 443), (443, 443)),
    }
    transports = (("tcp", 6, tcp), ("udp", 17, udp), ("sctp", 132, sctp))
    for count_by, (there, back) in table.items():
        for name, number, build in transports:
            for src, dst, ports in ((40001, 443, there), (443, 40001, back)):
                expected = tuple("%s %d" % (name, port) for port in ports)
                data = build(src, dst, b"payload")
                told = "%s %d > %d by %s" % (name, src, dst, count_by)
                for version, packet, link in ((IPV4, ipv4(number, data), ETH4),
                                              (IPV6, ipv6(number, data), ETH6)):
                    yield one(told, link + packet, expected, count_by=count_by)
                    yield scene(told, (packet, expected, version), link="raw",
                                count_by=count_by)
                # With an extension header and with options: the other path
                yield one(told, ETH6 + ipv6(0, extension(number) + data), expected,
                          count_by=count_by)
                yield one(told, ETH4 + ipv4(number, data, options=b"\1" * 8), expected,
                          count_by=count_by)


def ports():
    """Ports 0 and 65535, equal ports, nothing but ports"""
    for name, number in (("tcp", 6), ("udp", 17), ("sctp", 132)):
        build = {"tcp": tcp, "udp": udp, "sctp": sctp}[name]
        for src, dst in ((0, 65535), (65535, 0), (0, 0), (65535, 65535), (80, 80)):
            for ip, link in ((ipv4, ETH4), (ipv6, ETH6)):
                frame = link + ip(number, build(src, dst))
                told = "%s %d > %d" % (name, src, dst)
                yield one(told, frame, ("%s %d" % (name, dst), "%s %d" % (name, src)))
                low = "%s %d" % (name, 0 if 0 in (src, dst) else src)
                yield one(told + ", lower", frame, (low, low), count_by="lower")
        yield one(name + ", 4 bytes", ETH4 + ipv4(number, b"\x9c\x41\x01\xbb"),
                  (name + " 443", name + " 40001"))
        yield one(name + ", 4 bytes", ETH6 + ipv6(number, b"\x9c\x41\x01\xbb"),
                  (name + " 443", name + " 40001"))


def every_port():
    """All 65,536 ports of each transport, over IPv4 and IPv6 in turn"""
    for name, number, build in (("tcp", 6, tcp), ("udp", 17, udp), ("sctp", 132, sctp)):
        for port in range(65536):
            data = build(port, 65535 - port)
            frame = ETH4 + ipv4(number, data) if port & 1 else ETH6 + ipv6(number, data)
            yield one("%s %d" % (name, port), frame,
                      ("%s %d" % (name, 65535 - port), "%s %d" % (name, port)))


def every_ethertype():
    """All 65,536 ethertypes before an IPv4 packet"""
    packet = ipv4(17, UDP)
    for ethertype in range(65536):
        # After a VLAN type the packet's first bytes, 45 00 00 24, are the tag:
        # the inner type is 0x0024, a length (LLC).
        yield one("ethertype %#06x" % ethertype, ethernet(ethertype) + packet,
                  AS_UDP if ethertype == 0x0800 else NONIP)


def vlan():
    """VLAN tags: none to four, of both types"""
    for transport, as_one, data in ((6, AS_TCP, TCP), (17, AS_UDP, UDP), (132, AS_SCTP, SCTP)):
        for ethertype, packet in ((IPV4, ipv4(transport, data)), (IPV6, ipv6(transport, data))):
            for outer in (VLAN, SERVICE):
                yield one("tag %#x" % outer, ethernet(ethertype, outer) + packet, as_one)
                for inner in (VLAN, SERVICE):
                    yield one("tags %#x %#x" % (outer, inner),
                              ethernet(ethertype, outer, inner) + packet, as_one)
                    for third in (VLAN, SERVICE):
                        tags = outer, inner, third
                        yield one("three tags", ethernet(ethertype, *tags) + packet, as_one)
                        yield one("four tags", ethernet(ethertype, *tags, VLAN) + packet, NONIP)
                        yield one("four tags", ethernet(ethertype, *tags, SERVICE) + packet, NONIP)
    for tags in ((), (VLAN,), (SERVICE, VLAN), (SERVICE, VLAN, VLAN)):
        yield one("ARP", ethernet(0x0806, *tags) + b"\0\1\x08\0\6\4\0\1" + b"\x0a" * 20, NONIP)
        yield one("MPLS", ethernet(0x8847, *tags) + b"\0\1\x01\x40" + ipv4(6, TCP), NONIP)
        yield one("PPPoE", ethernet(0x8864, *tags) + b"\x11\0\0\1\0\x22\0\x21" + ipv4(6, TCP),
                  NONIP)
        yield one("QinQ as 0x9100", ethernet(0x9100, *tags) + b"\0\1\x08\0" + ipv4(6, TCP), NONIP)
        yield one("LLC", ethernet(38, *tags) + b"\x42\x42\x03" + b"\0" * 35, NONIP)
        yield one("LLC/SNAP IPv4", ethernet(48, *tags) + b"\xaa\xaa\x03\0\0\0\x08\0" +
                  ipv4(6, TCP), NONIP)
        yield one("length 1500 before IPv4", ethernet(1500, *tags) + ipv4(6, TCP), NONIP)
        yield one("IPv6 type, IPv4 inside", ethernet(IPV6, *tags) + ipv4(6, TCP + b"\0" * 40),
                  NONIP)
        yield one("IPv4 type, IPv6 inside", ethernet(IPV4, *tags) + ipv6(6, TCP), NONIP)
        yield one("ICMP", ethernet(IPV4, *tags) + ipv4(1, b"\x08\0\0\0\0\1\0\1"), as_ip(1))
    yield one("priority and VLAN id all ones", ethernet(VLAN)[:14] + b"\xff\xff\x08\0" +
              ipv4(6, TCP), AS_TCP)


def ipv4_header():
    """IPv4 options, header lengths and versions"""
    for ihl in range(5, 16):
        for number, data, expected in ((6, TCP, AS_TCP), (17, UDP, AS_UDP), (132, SCTP, AS_SCTP),
                                       (1, b"\x08\0\0\0\0\1\0\1", as_ip(1))):
            # Options whose bytes would read as other ports
            packet = ipv4(number, data, options=b"\x11\x11\x22\x22" * (ihl - 5))
            yield one("ihl %d" % ihl, ETH4 + packet, expected)
            yield one("ihl %d, VLAN" % ihl, ethernet(IPV4, VLAN) + packet, expected)
            yield scene("ihl %d, raw" % ihl, (packet, expected, IPV4), link="raw")
        yield one("ihl %d, options missing" % ihl, ETH4 + ipv4(6, ihl=ihl),
                  as_ip(6) if ihl == 5 else NONIP)
    for ihl in range(5):
        yield one("ihl %d" % ihl, ETH4 + ipv4(6, TCP, ihl=ihl), NONIP)
    for version in range(16):
        if version == 4:
            continue
        yield one("version %d" % version, ETH4 + ipv4(6, TCP, version=version), NONIP)
        yield one("version %d, options" % version,
                  ETH4 + ipv4(6, TCP, version=version, options=b"\1" * 4), NONIP)
    for version in range(16):
        if version != 6:
            yield one("IPv6 version %d" % version, ETH6 + ipv6(6, TCP, version=version), NONIP)


def lengths():
    """Length fields that lie are not consulted"""
    for length in (0, 1, 19, 20, 23, 65535):
        yield one("total length %d" % length, ETH4 + ipv4(6, TCP, length=length), AS_TCP)
        yield one("payload length %d" % length, ETH6 + ipv6(6, TCP, length=length), AS_TCP)
        yield one("payload length %d, options" % length,
                  ETH6 + ipv6(60, extension(17) + UDP, length=length), AS_UDP)
    for length in (0, 7, 8, 65535):
        yield one("UDP length %d" % length, ETH4 + ipv4(17, udp(SRC, DST, length=length)), AS_UDP)
    # An empty UDP-less packet of 20 bytes, padded to 60: padding is read
    yield one("ports in the padding", ETH4 + ipv4(17, b"", length=20) + b"\0" * 26,
              ("udp 0", "udp 0"))
    yield one("trailer", ETH4 + ipv4(6, TCP) + b"\xff" * 9, AS_TCP)
    yield one("TCP data offset 0", ETH4 + ipv4(6, TCP[:12] + b"\0" + TCP[13:]), AS_TCP)


def protocols():
    """All 256 protocols of IPv4 and IPv6"""
    # Read as an extension header this is 8 bytes long, "no next header" (59)
    # follows; read as ports it is 15104 > 1; read as a fragment header it is
    # at offset 0 and atomic.
    data = b"\x3b\0\0\0\0\0\0\1" + b"\0" * 8
    for number in range(256):
        four = six = as_ip(number)
        if number == 51:
            four = as_ip(59)
        if number in (0, 43, 44, 51, 60, 135):
            six = as_ip(59)
        for transport, name in ((6, "tcp"), (17, "udp"), (132, "sctp")):
            if number == transport:
                four = six = (name + " 0", name + " 15104")
        for options in (b"", b"\1" * 4):
            yield one("IPv4 %d" % number, ETH4 + ipv4(number, data, options=options), four)
        yield one("IPv6 %d" % number, ETH6 + ipv6(number, data), six)
        yield one("IPv6 %d after options" % number, ETH6 + ipv6(60, extension(number) + data), six)
        # Nothing behind the header
        yield one("IPv4 %d alone" % number, ETH4 + ipv4(number), as_ip(number))
        yield one("IPv6 %d alone" % number, ETH6 + ipv6(number), as_ip(number))


def tunnels():
    """Tunnels count by their outer header, other protocols by their number"""
    inner4, inner6 = ipv4(6, TCP), ipv6(6, TCP)
    for name, number, data in (
            ("ICMP", 1, b"\x08\0\0\0\0\1\0\1"),
            ("ICMP error quoting TCP", 1, b"\x03\x03\0\0\0\0\0\0" + inner4),
            ("IGMP", 2, b"\x16\0\0\0\xe0\0\0\xfb"),
            ("IPv4 in IP", 4, inner4),
            ("IPv6 in IP", 41, inner6),
            ("GRE", 47, b"\0\0\x08\0" + inner4),
            ("ESP", 50, b"\x9c\x41\x01\xbb\0\0\0\1" + b"\x55" * 16),
            ("UDP-Lite", 136, UDP),
            ("DCCP", 33, b"\x9c\x41\x01\xbb" + b"\0" * 12),
            ("HIP", 139, b"\x06\x04" + b"\0" * 38 + TCP),
            ("Shim6", 140, b"\x06\0" + b"\0" * 6 + TCP),
            ("experiment", 253, b"\x06\0" + b"\0" * 6 + TCP),
            ("experiment", 254, b"\x06\0" + b"\0" * 6 + TCP),
            ("ICMPv6", 58, b"\x80\0\0\0\0\1\0\1"),
            ("no next header", 59, TCP),
            ("OSPF", 89, b"\2\1\0\x2c" + b"\0" * 40),
            ("VRRP", 112, b"\x31\1\x64\0" + b"\0" * 8)):
        yield one(name, ETH4 + ipv4(number, data), as_ip(number))
        yield one(name, ETH6 + ipv6(number, data), as_ip(number))
        yield one(name, ETH6 + ipv6(0, extension(number) + data), as_ip(number))
        yield scene(name, (ipv4(number, data), as_ip(number), IPV4), link="raw")
    yield one("VXLAN", ETH4 + ipv4(17, udp(50000, 4789, b"\x08" + b"\0" * 7 + ETH4 + inner4)),
              ("udp 4789", "udp 50000"))
    yield one("GTP-U", ETH4 + ipv4(17, udp(2152, 2152, b"\x30\xff\0\x3c\0\0\0\1" + inner4)),
              ("udp 2152", "udp 2152"))


def fragments4():
    """IPv4 fragments: first, later, interleaved, out of order"""
    tail = b"\x11\x11\x22\x22" + b"y" * 12  # would read as ports 4369 > 8738

    def first(number=6, data=TCP, **kw):
        return ETH4 + ipv4(number, data, more=True, **kw)

    def later(number=6, data=tail, offset=2, **kw):
        return ETH4 + ipv4(number, data, offset=offset, **kw)

    yield scene("later alone", (later(), as_ip(6)), (later(17), as_ip(17)),
                (later(132), as_ip(132)), (later(1), as_ip(1)), (later(51), as_ip(51)))
    yield scene("first, middle, last", (first(), AS_TCP), (later(more=True), AS_TCP),
                (later(offset=4), AS_TCP))
    yield scene("UDP", (first(17, UDP), AS_UDP), (later(17), AS_UDP))
    yield scene("SCTP", (first(132, SCTP), AS_SCTP), (later(132), AS_SCTP))
    yield scene("out of order", (later(17), as_ip(17)), (first(17, UDP), AS_UDP),
                (later(17), AS_UDP))
    yield scene("offset 1, RFC 1858", (first(), AS_TCP), (later(offset=1), AS_TCP))
    yield scene("largest offset", (later(offset=8191), as_ip(6)), (first(), AS_TCP),
                (later(offset=8191), AS_TCP), (later(offset=8191, more=True), AS_TCP))
    yield scene("each bit of the offset", (first(), AS_TCP),
                *[(later(offset=1 << bit), AS_TCP) for bit in range(13)])
    yield scene("do not fragment, reserved bit", (ETH4 + ipv4(6, TCP, flags=0x4000), AS_TCP),
                (later(), as_ip(6)), (ETH4 + ipv4(6, TCP, flags=0x8000), AS_TCP),
                (later(), as_ip(6)), (first(flags=0xC000), AS_TCP), (later(flags=0xC000), AS_TCP))
    other = ("tcp 8080", "tcp 50000")
    yield scene("two datagrams interleaved", (first(ident=1), AS_TCP),
                (first(data=tcp(50000, 8080), ident=2), other), (later(ident=1), AS_TCP),
                (later(ident=2), other), (later(ident=1), AS_TCP), (later(ident=3), as_ip(6)))
    yield scene("ids that share a byte", (first(ident=0x0102), AS_TCP),
                (later(ident=0x0202), as_ip(6)), (later(ident=0x0101), as_ip(6)),
                (later(ident=0x0201), as_ip(6)), (later(ident=0x0102), AS_TCP))
    yield scene("id 0 and 65535", (later(ident=0), as_ip(6)), (first(ident=0), AS_TCP),
                (later(ident=0), AS_TCP), (later(ident=65535), as_ip(6)),
                (first(data=tcp(50000, 8080), ident=65535), other), (later(ident=65535), other))
    yield scene("one id, three protocols", (first(), AS_TCP), (later(17), as_ip(17)),
                (first(17, UDP), AS_UDP), (later(), AS_TCP), (later(17), AS_UDP),
                (later(132), as_ip(132)))
    yield scene("addresses", (first(), AS_TCP), (later(src="8.0.0.9"), as_ip(6)),
                (later(dst="198.51.100.9"), as_ip(6)),
                (later(src="198.51.100.2", dst="8.0.0.1"), as_ip(6)), (later(), AS_TCP))
    yield scene("a newer first fragment takes over", (first(), AS_TCP), (later(), AS_TCP),
                (first(data=tcp(50000, 8080)), other), (later(), other))
    yield scene("directions apart", (first(), ("tcp 443", None)), (later(), ("tcp 443", "ip 6")),
                (first(data=tcp(50000, 8080)), (None, "tcp 50000")),
                (later(), ("tcp 443", "tcp 50000")))
    yield scene("no ports to remember", (first(data=b"\x9c\x41\x01"), as_ip(6)),
                (later(), as_ip(6)))
    yield scene("no ports, older entry stays", (first(), AS_TCP),
                (first(data=b"\x9c\x41\x01"), as_ip(6)), (later(), AS_TCP))
    yield scene("ICMP", (first(1, b"\x08\0\0\0\0\1\0\1"), as_ip(1)), (later(1), as_ip(1)))
    yield scene("whole packets leave nothing", (ETH4 + ipv4(6, TCP), AS_TCP), (later(), as_ip(6)))
    yield scene("options in the first", (first(options=b"\1" * 12), AS_TCP), (later(), AS_TCP))
    yield scene("options in both", (first(17, UDP, options=b"\1" * 40), AS_UDP),
                (later(17, options=b"\x44\4\5\0"), AS_UDP))
    yield scene("later with a bad header", (first(), AS_TCP), (later(ihl=4), NONIP),
                (later(version=6), NONIP), (later(data=b"", ihl=6), NONIP))
    yield scene("later without payload", (first(), AS_TCP), (later(data=b""), AS_TCP))
    yield scene("VLAN tags make no difference", (first(), AS_TCP),
                (ethernet(IPV4, VLAN) + later()[14:], AS_TCP),
                (ethernet(IPV4, SERVICE, VLAN) + first(17, UDP)[14:], AS_UDP),
                (later(17), AS_UDP))
    yield scene("AH: the header's protocol counts", (first(51, ah(6) + TCP), AS_TCP),
                (later(51), AS_TCP), (later(6), as_ip(6)))
    yield scene("port 0 is a port", (first(data=tcp(0, 0)), ("tcp 0", "tcp 0")),
                (later(), ("tcp 0", "tcp 0")))
    yield scene("fragment of 44 is no IPv6 header", (first(44, fragment6(6, more=True) + TCP),
                                                      as_ip(44)), (later(44), as_ip(44)))
    for count_by, keys in (("remote", ("udp 40001", "udp 443")),
                           ("destination", ("udp 443", "udp 443")),
                           ("source", ("udp 40001", "udp 40001")),
                           ("lower", ("udp 443", "udp 443"))):
        yield scene("by " + count_by, (first(17, UDP), keys), (later(17), keys),
                    (later(17, ident=9), as_ip(17)), count_by=count_by)
    yield scene("raw link", (first()[14:], AS_TCP, IPV4), (later()[14:], AS_TCP, IPV4),
                (later(17)[14:], as_ip(17), IPV4), link="raw")
    for count in (100, 400):
        known = [("udp %d" % (1000 + n), "udp %d" % (2000 + n)) for n in range(count)]
        into = [(first(17, udp(2000 + n, 1000 + n), ident=n), known[n]) for n in range(count)]
        after = [(later(17, ident=n), known[n]) for n in range(count)]
        if count == 400:  # both directions would be 800 entries
            into = [(frame, (key[0], None)) for frame, key in into]
            after = [(frame, (key[0], "ip 17")) for frame, key in after]
        yield scene("%d datagrams at once" % count, *into, *after)
        yield scene("%d datagrams, last first" % count, *into, *reversed(after))


# Extension headers of IPv6, all that are walked
HOP, ROUTING, FRAGMENT, AH, DESTINATION, MOBILITY = WALKED = (0, 43, 44, 51, 60, 135)


def extensions6():
    """IPv6 extension headers: alone, in all pairs and triples, 8 and 9 of them"""
    def packet(headers, number, data):
        return ETH6 + ipv6(*chain(headers, number, data))

    ends = ((6, TCP, AS_TCP), (17, UDP, AS_UDP), (132, SCTP, AS_SCTP),
            (58, b"\x80\0\0\0\0\1\0\1", as_ip(58)), (59, b"", as_ip(59)), (50, TCP, as_ip(50)))
    for a in WALKED:
        for number, data, expected in ends:
            yield one("%d" % a, packet([a], number, data), expected)
            for b in WALKED:
                yield one("%d %d" % (a, b), packet([a, b], number, data), expected)
                for c in WALKED:
                    yield one("%d %d %d" % (a, b, c), packet([a, b, c], number, data), expected)
        for number, data, expected in ends:
            yield one("%d eight times" % a, packet([a] * 8, number, data), expected)
            yield one("%d nine times" % a, packet([a] * 9, number, data), as_ip(a))
        for count in range(1, 8):
            yield one("%d, %d times" % (a, count), packet([a] * count, 17, UDP), AS_UDP)
        for ninth in WALKED:
            yield one("eight, then %d" % ninth,
                      packet([HOP, DESTINATION, ROUTING, FRAGMENT, AH, DESTINATION, MOBILITY, a,
                              ninth], 6, TCP), as_ip(ninth))
        yield one("eight, then a protocol", packet([a] * 8, 47, TCP), as_ip(47))
        yield one("twenty times %d" % a, packet([a] * 20, 6, TCP), as_ip(a))
    yield one("the order of RFC 8200", packet([HOP, DESTINATION, ROUTING, FRAGMENT, AH,
                                               DESTINATION], 6, TCP), AS_TCP)
    for kind in (HOP, ROUTING, DESTINATION, MOBILITY):
        for length in (0, 1, 2, 15, 31, 32, 127, 128, 255):
            yield one("%d of %d bytes" % (kind, (length + 1) * 8),
                      ETH6 + ipv6(kind, extension(6, length) + TCP), AS_TCP)
    for length in (0, 1, 2, 3, 4, 5, 6, 7, 31, 128, 255):
        yield one("AH of %d bytes" % ((length + 2) * 4), ETH6 + ipv6(AH, ah(6, length) + TCP),
                  AS_TCP)
    # Lengths that lead out of the frame
    for kind in (HOP, ROUTING, DESTINATION, MOBILITY, AH):
        for number, expected in ((6, as_ip(6)), (17, as_ip(17)), (132, as_ip(132)),
                                 (58, as_ip(58)), (HOP, as_ip(HOP)), (ROUTING, as_ip(ROUTING)),
                                 (FRAGMENT, as_ip(FRAGMENT)), (AH, as_ip(AH)),
                                 (DESTINATION, as_ip(DESTINATION)),
                                 (MOBILITY, as_ip(MOBILITY))):
            for length in (2, 20, 255):
                yield one("%d leads out of the frame, to %d" % (kind, number),
                          ETH6 + ipv6(kind, bytes((number, length)) + b"\0" * 6), expected)
    # A next header where 1, 2, 3 and 4 bytes are left
    for left in range(5):
        rest = b"\x9c\x41\x01\xbb"[:left]
        for number, name in ((6, "tcp"), (17, "udp"), (132, "sctp")):
            yield one("%s, %d bytes left" % (name, left),
                      ETH6 + ipv6(HOP, extension(number) + rest),
                      (name + " 443", name + " 40001") if left == 4 else as_ip(number))
        for kind in (HOP, ROUTING, AH, DESTINATION, MOBILITY):
            # 0x9c is 156, a protocol; of the length 0x41 the frame has nothing
            yield one("%d, %d bytes left" % (kind, left), ETH6 + ipv6(HOP, extension(kind) + rest),
                      as_ip(156) if left >= 2 else as_ip(kind))
        yield one("fragment, %d bytes left" % left, ETH6 + ipv6(HOP, extension(FRAGMENT) + rest),
                  as_ip(FRAGMENT))
    yield one("not in IPv4: hop-by-hop", ETH4 + ipv4(HOP, extension(6) + TCP), as_ip(HOP))
    yield one("not in IPv4: routing", ETH4 + ipv4(ROUTING, extension(6) + TCP), as_ip(ROUTING))
    yield one("not in IPv4: options", ETH4 + ipv4(DESTINATION, extension(6) + TCP),
              as_ip(DESTINATION))
    yield one("not in IPv4: mobility", ETH4 + ipv4(MOBILITY, extension(6) + TCP), as_ip(MOBILITY))
    yield scene("raw link", (packet([HOP, AH], 6, TCP)[14:], AS_TCP, IPV6), link="raw")


def authentication():
    """AH in IPv4 and IPv6"""
    for options in (b"", b"\1" * 4, b"\1" * 40):
        for number, data, expected in ((6, TCP, AS_TCP), (17, UDP, AS_UDP), (132, SCTP, AS_SCTP),
                                       (1, b"\x08\0\0\0", as_ip(1)), (50, TCP, as_ip(50))):
            for length in (0, 1, 2, 4, 5, 255):
                yield one("IPv4, AH %d" % length,
                          ETH4 + ipv4(51, ah(number, length) + data, options=options), expected)
            yield one("IPv4, AH twice", ETH4 + ipv4(51, ah(51) + ah(number) + data,
                                                    options=options), expected)
            yield one("IPv4, AH eight times",
                      ETH4 + ipv4(51, ah(51, 1) * 7 + ah(number, 1) + data, options=options),
                      expected)
            yield one("IPv4, AH nine times",
                      ETH4 + ipv4(51, ah(51, 1) * 8 + ah(number, 1) + data, options=options),
                      as_ip(51))
    for number in (HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY):
        yield one("IPv4, AH, then %d" % number, ETH4 + ipv4(51, ah(number) + extension(6) + TCP),
                  as_ip(number))
        yield one("IPv6, AH, then %d" % number,
                  ETH6 + ipv6(51, ah(number) + b"\6\0\0\0\0\0\0\0" + TCP), AS_TCP)
    for left in (0, 1):
        yield one("IPv4, %d bytes of AH" % left, ETH4 + ipv4(51, b"\6\0"[:left]), as_ip(51))
    yield one("IPv4, AH out of the frame", ETH4 + ipv4(51, b"\6\xff" + TCP), as_ip(6))
    yield one("IPv4, AH to AH out of the frame", ETH4 + ipv4(51, b"\x33\xff" + TCP), as_ip(51))
    yield scene("raw link", (ipv4(51, ah(6) + TCP), AS_TCP, IPV4),
                (ipv6(51, ah(6) + TCP), AS_TCP, IPV6), link="raw")


def fragments6():
    """IPv6 fragments, atomic ones, several fragment headers"""
    tail = b"\x11\x11\x22\x22" + b"y" * 12

    def first(number=6, data=TCP, ident=0x12345678, reserved=0, **kw):
        return ETH6 + ipv6(44, fragment6(number, 0, True, ident, reserved) + data, **kw)

    def later(number=6, offset=2, more=False, ident=0x12345678, reserved=0, data=tail, **kw):
        return ETH6 + ipv6(44, fragment6(number, offset, more, ident, reserved) + data, **kw)

    yield scene("later alone", *[(later(number), as_ip(number)) for number in
                                 (6, 17, 132, 58, 0, 43, 44, 51, 60, 135, 59)])
    yield scene("first, middle, last", (first(), AS_TCP), (later(more=True), AS_TCP),
                (later(offset=4), AS_TCP))
    yield scene("UDP", (first(17, UDP), AS_UDP), (later(17), AS_UDP))
    yield scene("SCTP", (first(132, SCTP), AS_SCTP), (later(132), AS_SCTP))
    yield scene("out of order", (later(), as_ip(6)), (first(), AS_TCP), (later(), AS_TCP))
    yield scene("each bit of the offset", (first(), AS_TCP),
                *[(later(offset=1 << bit), AS_TCP) for bit in range(13)])
    yield scene("atomic, RFC 6946", (ETH6 + ipv6(44, fragment6(6) + TCP), AS_TCP),
                (later(), as_ip(6)))
    yield scene("atomic leaves an older entry", (first(), AS_TCP),
                (ETH6 + ipv6(44, fragment6(6) + tcp(50000, 8080)), ("tcp 8080", "tcp 50000")),
                (later(), AS_TCP))
    yield scene("reserved bits", (ETH6 + ipv6(44, fragment6(6, reserved=3) + TCP), AS_TCP),
                (later(), as_ip(6)), (first(reserved=3), AS_TCP), (later(reserved=3), AS_TCP))
    for bit in range(32):
        yield scene("ids that differ in bit %d" % bit, (first(), AS_TCP),
                    (later(ident=0x12345678 ^ 1 << bit), as_ip(6)), (later(), AS_TCP))
    for byte in range(8):  # of the 16, two at a time
        bent = "2001:db8:86dd::1".replace("::", ":0:0:0:0:").split(":")
        bent[byte] = "%x" % (int(bent[byte], 16) ^ 0x0101)
        yield scene("source that differs in word %d" % byte, (first(), AS_TCP),
                    (later(src=":".join(bent)), as_ip(6)), (later(), AS_TCP))
        bent = "2001:db8:0:0:0:0:0:2".split(":")
        bent[byte] = "%x" % (int(bent[byte], 16) ^ 0x0101)
        yield scene("destination that differs in word %d" % byte, (first(), AS_TCP),
                    (later(dst=":".join(bent)), as_ip(6)), (later(), AS_TCP))
    yield scene("one id, three protocols", (first(), AS_TCP), (later(17), as_ip(17)),
                (first(17, UDP), AS_UDP), (later(), AS_TCP), (later(17), AS_UDP),
                (later(132), as_ip(132)))
    yield scene("directions apart", (first(), ("tcp 443", None)), (later(), ("tcp 443", "ip 6")))
    yield scene("no ports to remember", (first(data=b"\x9c\x41\x01"), as_ip(6)),
                (later(), as_ip(6)))
    yield scene("ICMPv6", (first(58, b"\x80\0\0\0\0\1\0\1"), as_ip(58)), (later(58), as_ip(58)))
    yield scene("a header behind the fragment header",
                (first(60, extension(17) + UDP), AS_UDP), (later(60), AS_UDP),
                (later(17), as_ip(17)), (later(60, ident=5), as_ip(60)))
    yield scene("a header before the fragment header",
                (ETH6 + ipv6(0, extension(44) + fragment6(6, 0, True) + TCP), AS_TCP),
                (ETH6 + ipv6(0, extension(44) + fragment6(6, 9) + tail), AS_TCP),
                (later(), AS_TCP))
    yield scene("AH behind the fragment header", (first(51, ah(6) + TCP), AS_TCP),
                (later(51), AS_TCP), (later(6), as_ip(6)))
    yield scene("two fragment headers: the last one counts",
                (ETH6 + ipv6(44, fragment6(44, 0, True, 1) + fragment6(17, 0, True, 2) + UDP),
                 AS_UDP),
                (later(44, ident=1), as_ip(44)), (later(17, ident=1), as_ip(17)),
                (later(17, ident=2), AS_UDP))
    yield scene("a later fragment header behind a first one",
                (first(17, UDP), AS_UDP),
                (ETH6 + ipv6(44, fragment6(44, 0, True, 1) + fragment6(17, 7) + tail), AS_UDP),
                (ETH6 + ipv6(44, fragment6(44, 0, True, 1) + fragment6(6, 7) + tail), as_ip(6)),
                (later(44, ident=1), as_ip(44)))
    yield scene("atomic, then a first one",
                (ETH6 + ipv6(44, fragment6(44, ident=1) + fragment6(6, 0, True, 2) + TCP), AS_TCP),
                (later(6, ident=2), AS_TCP), (later(44, ident=1), as_ip(44)))
    yield scene("header as eighth of eight", (ETH6 + ipv6(60, extension(60) * 6 + extension(44) +
                                                          fragment6(6, 0, True) + TCP), AS_TCP),
                (ETH6 + ipv6(60, extension(60) * 6 + extension(44) + fragment6(6, 3) + tail),
                 AS_TCP),
                (ETH6 + ipv6(60, extension(60) * 7 + extension(44) + fragment6(6, 3) + tail),
                 as_ip(44)))
    yield scene("later, 8 bytes and nothing more", (first(), AS_TCP), (later(data=b""), AS_TCP),
                (later(data=b"")[:-1], as_ip(44)))
    yield scene("first, 8 bytes and nothing more", (first(data=b""), as_ip(6)),
                (later(), as_ip(6)))
    yield scene("VLAN tags make no difference", (first(), AS_TCP),
                (ethernet(IPV6, SERVICE, VLAN) + later()[14:], AS_TCP))
    yield scene("raw link", (first()[14:], AS_TCP, IPV6), (later()[14:], AS_TCP, IPV6), link="raw")
    # An IPv4 datagram and an IPv6 one whose addresses contain the same bytes
    four = ETH4 + ipv4(17, UDP, more=True, src="8.0.0.1", dst="8.0.0.2", ident=0x1234)
    for src, dst in (("::8.0.0.1", "::8.0.0.2"), ("::ffff:8.0.0.1", "::ffff:8.0.0.2"),
                     ("800:1::", "800:2::")):
        for ident in (0x1234, 0x12340000, 0x3412, 0x34120000):
            yield scene("IPv4 and IPv6 apart, %s" % src, (four, AS_UDP),
                        (later(17, ident=ident, src=src, dst=dst), as_ip(17)))
            yield scene("IPv6 and IPv4 apart, %s" % src,
                        (first(17, UDP, ident=ident, src=src, dst=dst), AS_UDP),
                        (ETH4 + ipv4(17, tail, offset=2, src="8.0.0.1", dst="8.0.0.2",
                                     ident=0x1234), as_ip(17)))


def truncated():
    """Every truncation of typical packets"""
    yield from cut("IPv4 TCP", ETH4 + ipv4(6, TCP), (0, NONIP), (34, as_ip(6)), (38, AS_TCP))
    yield from cut("IPv4 UDP", ETH4 + ipv4(17, UDP), (0, NONIP), (34, as_ip(17)), (38, AS_UDP))
    yield from cut("IPv4 SCTP", ETH4 + ipv4(132, SCTP), (0, NONIP), (34, as_ip(132)),
                   (38, AS_SCTP))
    yield from cut("IPv4 ICMP", ETH4 + ipv4(1, b"\x08" + b"\0" * 15), (0, NONIP), (34, as_ip(1)))
    yield from cut("IPv4 options", ETH4 + ipv4(6, TCP, options=b"\1" * 40), (0, NONIP),
                   (74, as_ip(6)), (78, AS_TCP))
    yield from cut("IPv4 AH", ETH4 + ipv4(51, ah(6, 4) + TCP), (0, NONIP), (34, as_ip(51)),
                   (36, as_ip(6)), (62, AS_TCP))
    yield from cut("IPv4 later fragment", ETH4 + ipv4(17, UDP, offset=1), (0, NONIP),
                   (34, as_ip(17)))
    yield from cut("IPv6 TCP", ETH6 + ipv6(6, TCP), (0, NONIP), (54, as_ip(6)), (58, AS_TCP))
    yield from cut("IPv6 UDP", ETH6 + ipv6(17, UDP), (0, NONIP), (54, as_ip(17)), (58, AS_UDP))
    yield from cut("IPv6 hop-by-hop, options, fragment, AH",
                   ETH6 + ipv6(0, extension(60) + extension(44, 1) + fragment6(51) + ah(6, 1) +
                               TCP),
                   (0, NONIP), (54, as_ip(0)),
                   (56, as_ip(60)),            # 54 to 61: hop-by-hop
                   (64, as_ip(44)),            # 62 to 77: options
                   (86, as_ip(51)),            # 78 to 85: fragment
                   (88, as_ip(6)),             # 86 to 97: AH
                   (102, AS_TCP))
    yield from cut("IPv6 routing, mobility", ETH6 + ipv6(43, extension(135) + extension(59)),
                   (0, NONIP), (54, as_ip(43)), (56, as_ip(135)), (64, as_ip(59)))
    yield from cut("IPv6 later fragment", ETH6 + ipv6(44, fragment6(17, 1) + UDP), (0, NONIP),
                   (54, as_ip(44)), (62, as_ip(17)))
    yield from cut("VLAN IPv4", ethernet(IPV4, VLAN) + ipv4(17, UDP), (0, NONIP), (38, as_ip(17)),
                   (42, AS_UDP))
    yield from cut("two tags, IPv6", ethernet(IPV6, SERVICE, VLAN) + ipv6(6, TCP), (0, NONIP),
                   (62, as_ip(6)), (66, AS_TCP))
    yield from cut("three tags, IPv4", ethernet(IPV4, VLAN, SERVICE, VLAN) + ipv4(6, TCP),
                   (0, NONIP), (46, as_ip(6)), (50, AS_TCP))
    yield from cut("two tags, IPv4 options", ethernet(IPV4, VLAN, VLAN) +
                   ipv4(6, TCP, options=b"\1" * 4), (0, NONIP), (46, as_ip(6)), (50, AS_TCP))
    yield from cut("raw IPv4", ipv4(6, TCP), (0, NONIP), (20, as_ip(6)), (24, AS_TCP), link="raw",
                   protocol=IPV4)
    yield from cut("raw IPv4 options", ipv4(17, UDP, options=b"\1" * 8), (0, NONIP),
                   (28, as_ip(17)), (32, AS_UDP), link="raw", protocol=IPV4)
    yield from cut("raw IPv6", ipv6(17, UDP), (0, NONIP), (40, as_ip(17)), (44, AS_UDP),
                   link="raw", protocol=IPV6)


def raw_link():
    """Links without header: the skb's protocol names what is inside"""
    four, six = ipv4(6, TCP), ipv6(6, TCP)
    for protocol in (0x88B5, 0x0806, 0x8100, 0x88A8, 0x8847, 0x0600, 0x0801, 0x86DC, 0xFFFF,
                     0x0008, 0xDD86, 0x05DC, 0):
        for packet in (four, six):
            yield scene("protocol %#06x" % protocol,
                        (on_raw_link(protocol, packet), NONIP, protocol), link="raw")
    yield scene("IPv6 in IPv4's protocol", (on_raw_link(IPV4, six), NONIP, IPV4), link="raw")
    yield scene("IPv4 in IPv6's protocol", (on_raw_link(IPV6, four), NONIP, IPV6), link="raw")
    yield scene("no Ethernet header is taken off", (on_raw_link(IPV4, ETH4 + four), NONIP, IPV4),
                link="raw")


def hidden_link():
    """Links of a length that the classifier is not told: the skb says where L3 is"""
    for link in ("gre", "foreign"):
        for options in (b"", b"\1" * 12):
            for number, data, expected in ((6, TCP, AS_TCP), (17, UDP, AS_UDP),
                                           (132, SCTP, AS_SCTP), (47, TCP, as_ip(47))):
                yield scene("IPv4", (ETH4 + ipv4(number, data, options), expected, IPV4), link=link)
        yield scene("IPv6", (ETH6 + ipv6(6, TCP), AS_TCP, IPV6), link=link)
        yield scene("IPv6, options", (ETH6 + ipv6(60, extension(17) + UDP), AS_UDP, IPV6),
                    link=link)
        yield scene("ARP", (ethernet(0x0806) + b"\0\1\x08\0\6\4\0\1" + b"\x0a" * 20, NONIP,
                            0x0806), link=link)
        yield scene("a tag behind L3", (ethernet(IPV4, VLAN) + ipv4(6, TCP), NONIP, VLAN),
                    link=link)
        yield scene("fragments", (ETH4 + ipv4(6, TCP, more=True), AS_TCP, IPV4),
                    (ETH4 + ipv4(6, b"y" * 16, offset=2), AS_TCP, IPV4), link=link)
        # Neither too short a length of IP's own nor a trailer moves L3
        for length in (0, 20, 65535):
            yield scene("total length %d" % length,
                        (ETH4 + ipv4(6, TCP, length=length) + b"\xff" * 9, AS_TCP, IPV4), link=link)
        # Longer than what is searched for L3
        for size in (254, 255, 256, 257, 1400):
            yield scene("%d bytes" % size, (ETH4 + ipv4(6, tcp(SRC, DST, bytes(size - 54))), AS_TCP,
                                            IPV4), link=link)
        yield from cut("IPv4 UDP", ETH4 + ipv4(17, UDP), (0, NONIP), (34, as_ip(17)), (38, AS_UDP),
                       link=link, protocol=IPV4)


TOPICS = (plain, ports, vlan, ipv4_header, lengths, protocols, tunnels, fragments4, extensions6,
          authentication, fragments6, truncated, raw_link, hidden_link, every_ethertype, every_port)


def uncounted(link):
    """The bytes of a frame that are not counted: of a foreign link's header."""
    return 14 if link == "foreign" else 0


def key(text):
    """The key that "tcp 443", "ip 6" or "nonip" stands for."""
    words = text.split()
    return (words[0], int(words[1])) if len(words) == 2 else (words[0],)
