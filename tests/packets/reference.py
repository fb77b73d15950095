# SPDX-License-Identifier: MIT
"""A plain reader of packets, written from the RFCs and not from the classifier.

It says under which key a frame has to be counted. It is slow and obvious on
purpose: the classifier in the kernel is compared with it, packet by packet.

None of a packet's own length fields (IPv4 total length, IPv6 payload length,
UDP length) is consulted: "present" means present in the frame as captured. So
with a lying length the padding of a frame can be read as ports, by both.
"""

ETH_HEADER = 14                      # IEEE 802.3: two addresses and the type
ETH_IPV4, ETH_IPV6 = 0x0800, 0x86DD  # RFC 894, RFC 2464
VLAN_TYPES = (0x8100, 0x88A8)        # IEEE 802.1Q customer tag, service tag
MOST_TAGS = 2

PORTS = {6: "tcp", 17: "udp", 132: "sctp"}  # RFC 9293, 768, 9260

# Extension headers: RFC 8200 (0, 43, 44, 60), RFC 4302 (51), RFC 6275 (135).
FRAGMENT, AH = 44, 51
V6_EXTENSIONS = (0, 43, FRAGMENT, AH, 60, 135)
V4_EXTENSIONS = (AH,)
MOST_EXTENSIONS = 8

NONIP = ("nonip",)
TRANSPORTS = {"tcp": 0, "udp": 1, "sctp": 2}
KEYS = (3 << 16) + 257

COUNT_BY = ("local", "remote", "destination", "source", "lower")


def number(key):
    """The key's place in the port table."""
    if key[0] == "nonip":
        return (3 << 16) + 256
    if key[0] == "ip":
        return 3 << 16 | key[1]
    return TRANSPORTS[key[0]] << 16 | key[1]


def be16(data, at):
    return data[at] << 8 | data[at + 1]


class Reference:
    """What one BPF object, bound to one interface, has to do.

    link: "ethernet" or "raw". The memory of first fragments is unbounded
    here, so whoever feeds both must not let it grow past the kernel's.
    """

    def __init__(self, link="ethernet", count_by="local"):
        self.link = link
        self.count_by = count_by
        self.memory = {}

    def forget(self):
        self.memory.clear()

    def read(self, frame, direction, protocol=None):
        """The key of a frame; direction is "in" or "eg".

        protocol is the skb's own (an ethertype), used on a raw link only.
        """
        key, _ = self.dissect(frame, direction, protocol)
        return key

    def dissect(self, frame, direction, protocol=None):
        """The key, and where the transport header starts (None: no ports)."""
        at = 0
        if self.link == "ethernet":
            if len(frame) < ETH_HEADER:
                return NONIP, None
            protocol = be16(frame, 12)
            at = ETH_HEADER
            tags = 0
            while protocol in VLAN_TYPES:
                if tags == MOST_TAGS or len(frame) < at + 4:
                    return NONIP, None
                protocol = be16(frame, at + 2)
                at += 4
                tags += 1
        if protocol == ETH_IPV4:
            return self.ipv4(frame, at, direction)
        if protocol == ETH_IPV6:
            return self.ipv6(frame, at, direction)
        return NONIP, None

    def ipv4(self, frame, at, direction):  # RFC 791
        if len(frame) < at + 20 or frame[at] >> 4 != 4:
            return NONIP, None
        size = (frame[at] & 15) * 4
        if size < 20 or len(frame) < at + size:
            return NONIP, None
        protocol = frame[at + 9]
        fragment = be16(frame, at + 6)
        more, offset = fragment & 0x2000, fragment & 0x1FFF
        datagram = (direction, frame[at + 12:at + 16], frame[at + 16:at + 20],
                    be16(frame, at + 4), protocol)
        if offset:
            return self.memory.get(datagram, ("ip", protocol)), None
        return self.upper(frame, at + size, protocol, direction, V4_EXTENSIONS,
                          None, datagram if more else None)

    def ipv6(self, frame, at, direction):  # RFC 8200
        if len(frame) < at + 40 or frame[at] >> 4 != 6:
            return NONIP, None
        addresses = (direction, frame[at + 8:at + 24], frame[at + 24:at + 40])
        return self.upper(frame, at + 40, frame[at + 6], direction,
                          V6_EXTENSIONS, addresses, None)

    def upper(self, frame, at, protocol, direction, extensions, addresses, datagram):
        """Walks extension headers, then reads ports.

        datagram: what later fragments of this packet will be known by.
        """
        for _ in range(MOST_EXTENSIONS):
            if protocol not in extensions:
                break
            if len(frame) < at + (8 if protocol == FRAGMENT else 2):
                return ("ip", protocol), None
            following = frame[at]
            if protocol == FRAGMENT:
                fragment = be16(frame, at + 2)
                # Addresses, identification and the next header (RFC 8200, 4.5)
                datagram = addresses + (bytes(frame[at + 4:at + 8]), following)
                if fragment >> 3:
                    return self.memory.get(datagram, ("ip", following)), None
                if not fragment & 1:
                    datagram = None  # "atomic", RFC 6946: there is no other
                size = 8
            elif protocol == AH:
                size = (frame[at + 1] + 2) * 4
            else:
                size = (frame[at + 1] + 1) * 8
            at += size
            protocol = following
        if protocol not in PORTS or len(frame) < at + 4:
            return ("ip", protocol), None
        port = self.which(be16(frame, at), be16(frame, at + 2), direction)
        key = (PORTS[protocol], port)
        if datagram is not None:
            self.memory[datagram] = key
        return key, at

    def which(self, source, destination, direction):
        if self.count_by == "lower":
            return min(source, destination)
        if self.count_by == "source":
            return source
        if self.count_by == "destination":
            return destination
        inwards = direction == "in"
        if self.count_by == "local":
            return destination if inwards else source
        return source if inwards else destination

    def on_the_wire(self, frame, direction, protocol=None, gso_size=0, gso_segs=0,
                    wire_len=0):
        """(key, packets, bytes) of an skb that may stand for several packets."""
        key, at = self.dissect(frame, direction, protocol)
        size = len(frame)
        if not gso_size:
            return key, 1, size
        if at is None:
            raise ValueError("not specified: segmentation without a transport header")
        if key[0] == "tcp":
            headers = at + (frame[at + 12] >> 4) * 4
        elif key[0] == "udp":
            headers = at + 8
        else:
            headers = at + 12  # SCTP's common header; chunks are the payload
        packets = gso_segs or -(-(size - headers) // gso_size)
        # The kernel's own figure, which for SCTP leaves out SCTP's header. At
        # ingress (from 6.19) it starts at the network layer; the link header is
        # on the wire with each packet.
        if wire_len > size and key[0] != "sctp":
            outside = ETH_HEADER if self.link == "ethernet" and direction == "in" else 0
            return key, packets, wire_len + packets * outside
        return key, packets, size + (packets - 1) * headers
