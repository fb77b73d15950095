# SPDX-License-Identifier: MIT
"""Reads capture files: pcap (draft-ietf-opsawg-pcap) and pcapng, plain or gzip.

Many of the files are broken on purpose, being somebody's regression tests. What
can be read of them is read; the first broken record ends a file in silence.
"""

import gzip
import struct

LONGEST_FRAME = 1 << 18

# Link types: https://www.tcpdump.org/linktypes.html
ETHERNET = 1
RAW_IP = (12, 14, 101)       # 12 and 14 as BSDs number "raw" in old files
RAW_IPV4, RAW_IPV6 = 228, 229
LOOPBACK = (0, 108)          # 4 bytes of address family before the packet
LINUX_COOKED, LINUX_COOKED2 = 113, 276

IPV4_FAMILIES = (2,)
IPV6_FAMILIES = (10, 23, 24, 28, 30)  # they differ between systems
NO_PROTOCOL = 0x88B5                  # IEEE 802, local experimental ethertype


def read(path):
    """Yields (link type, frame, original length) of each packet."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError):
            return
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        yield from read_pcapng(data)
    else:
        yield from read_pcap(data)


def read_pcap(data):
    # Microseconds, nanoseconds, and Kuznetzov's patch with longer records.
    record_sizes = {0xA1B2C3D4: 16, 0xA1B23C4D: 16, 0xA1B2CD34: 24}
    if len(data) < 24:
        return
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in record_sizes:
            break
    else:
        return
    link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at + record_sizes[magic] <= len(data):
        captured, original = struct.unpack_from(order + "II", data, at + 8)
        at += record_sizes[magic]
        if captured > LONGEST_FRAME or at + captured > len(data):
            return
        yield link_type, data[at:at + captured], original
        at += captured


def read_pcapng(data):
    at, order, interfaces = 0, "<", []
    while at + 12 <= len(data):
        kind = struct.unpack_from(order + "I", data, at)[0]
        if kind == 0x0A0D0D0A:  # a section begins; its magic tells the byte order
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        length = struct.unpack_from(order + "I", data, at + 4)[0]
        if length < 12 or length % 4 or at + length > len(data):
            return
        body = data[at + 8:at + length - 4]
        at += length
        if kind == 1 and len(body) >= 8:  # interface description
            interfaces.append(struct.unpack_from(order + "HHI", body))
        elif kind in (2, 6) and len(body) >= 20:  # packet, enhanced packet
            interface = struct.unpack_from(order + ("I" if kind == 6 else "H"), body)[0]
            captured, original = struct.unpack_from(order + "II", body, 12)
            if interface >= len(interfaces) or captured > len(body) - 20:
                return
            yield interfaces[interface][0], body[20:20 + captured], original
        elif kind == 3 and len(body) >= 4 and interfaces:  # simple packet
            original = struct.unpack_from(order + "I", body)[0]
            captured = min(original, interfaces[0][2] or original, len(body) - 4)
            yield interfaces[0][0], body[4:4 + captured], original


def unwrap(link_type, frame):
    """(link, frame, protocol) as the classifier sees it, None if it never does.

    Link headers without an Ethernet counterpart come off, as if the packet had
    been captured on an interface without any.
    """
    if link_type == ETHERNET:
        return "ethernet", frame, None
    if link_type in RAW_IP and frame:
        version = frame[0] >> 4
        return "raw", frame, {4: 0x0800, 6: 0x86DD}.get(version, NO_PROTOCOL)
    if link_type == RAW_IPV4:
        return "raw", frame, 0x0800
    if link_type == RAW_IPV6:
        return "raw", frame, 0x86DD
    if link_type in LOOPBACK and len(frame) >= 4:
        family = min(int.from_bytes(frame[:4], order) for order in ("little", "big"))
        if family in IPV4_FAMILIES:
            return "raw", frame[4:], 0x0800
        if family in IPV6_FAMILIES:
            return "raw", frame[4:], 0x86DD
        return "raw", frame[4:], NO_PROTOCOL
    if link_type == LINUX_COOKED and len(frame) >= 16:
        return "raw", frame[16:], int.from_bytes(frame[14:16], "big")
    if link_type == LINUX_COOKED2 and len(frame) >= 20:
        return "raw", frame[20:], int.from_bytes(frame[0:2], "big")
    return None


def write_pcap(file, link_type):
    """Starts a capture file; returns a function that adds a frame."""
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LONGEST_FRAME, link_type))

    def add(frame, original):
        file.write(struct.pack("<IIII", 0, 0, len(frame), max(original, len(frame))) + frame)

    return add
