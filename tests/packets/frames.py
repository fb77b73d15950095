# SPDX-License-Identifier: MIT
"""Builds packets. Checksums are left 0: nobody here looks at them."""

import ipaddress
import struct

IPV4, IPV6 = 0x0800, 0x86DD
VLAN, SERVICE = 0x8100, 0x88A8

# On a link without header, test_run still takes the skb's protocol from bytes
# 12 and 13. There, IPv4 and IPv6 keep the source address; so these begin with
# 0x0800 and have 0x86dd in that place.
SRC4, DST4 = "8.0.0.1", "198.51.100.2"
SRC6, DST6 = "2001:db8:86dd::1", "2001:db8::2"


def ethernet(ethertype, *tags):
    """Header with VLAN tags, given as their types from the outside inwards."""
    types = list(tags) + [ethertype]
    header = b"\x02\0\0\0\0\2\x02\0\0\0\0\1" + struct.pack("!H", types[0])
    for tci, inner in enumerate(types[1:], 100):
        header += struct.pack("!HH", tci, inner)
    return header


def ipv4(protocol, payload=b"", options=b"", src=SRC4, dst=DST4, ident=0x1234, offset=0,
         more=False, flags=0, version=4, ihl=None, length=None):
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if length is None else length
    fragment = flags | (0x2000 if more else 0) | offset
    return struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, length & 0xFFFF, ident, fragment,
                       64, protocol, 0, ipaddress.IPv4Address(src).packed,
                       ipaddress.IPv4Address(dst).packed) + options + payload


def ipv6(following, payload=b"", src=SRC6, dst=DST6, version=6, length=None):
    length = len(payload) if length is None else length
    return struct.pack("!IHBB", version << 28 | 0xABCDE, length & 0xFFFF, following, 64) + \
        ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed + payload


def extension(following, length=0):
    """Hop-by-hop, routing, destination options, mobility: all look alike."""
    return bytes((following, length)) + b"\xee" * ((length + 1) * 8 - 2)


def fragment6(following, offset=0, more=False, ident=0x12345678, reserved=0):
    return struct.pack("!BBHI", following, 0xEE, offset << 3 | reserved << 1 | more, ident)


def ah(following, length=4):
    return bytes((following, length)) + b"\xee" * ((length + 2) * 4 - 2)


def tcp(src, dst, payload=b"", options=b""):
    return struct.pack("!HHIIBBHHH", src, dst, 1, 2, (5 + len(options) // 4) << 4, 0x10, 512, 0,
                       0) + options + payload


def udp(src, dst, payload=b"", length=None):
    return struct.pack("!HHHH", src, dst, 8 + len(payload) if length is None else length,
                       0) + payload


def sctp(src, dst, payload=b""):
    return struct.pack("!HHII", src, dst, 1, 0) + payload


def gre(ethertype, payload=b"", optional=0):
    """optional: the bits of checksum (0x8000), key (0x2000) and sequence number (0x1000)."""
    size = 4 * bin(optional & 0xB000).count("1")
    return struct.pack("!HH", optional, ethertype) + b"\xee" * size + payload


def vxlan(payload=b"", port=4789):
    return udp(50000, port, b"\x08\0\0\0\0\0\x07\0" + payload)


def geneve(ethertype, payload=b"", options=b"", version=0):
    return udp(50000, 6081, struct.pack("!BBHI", version << 6 | len(options) // 4, 0, ethertype,
                                        0x700) + options + payload)


def chain(headers, last, payload):
    """IPv6 extension headers of the given numbers, each of its shortest size."""
    data = payload
    following = last
    for header in reversed(headers):
        if header == 44:
            data = fragment6(following) + data
        elif header == 51:
            data = ah(following, 1) + data
        else:
            data = extension(following) + data
        following = header
    return following, data


def on_raw_link(protocol, packet):
    """The packet with bytes 12 and 13 saying its protocol, see above."""
    return packet[:12] + struct.pack("!H", protocol) + packet[14:]
