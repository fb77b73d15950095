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
MOST_TAGS = 3

PORTS = {6: "tcp", 17: "udp", 132: "sctp"}  # RFC 9293, 768, 9260

# Extension headers: RFC 8200 (0, 43, 44, 60), RFC 4302 (51), RFC 6275 (135).
FRAGMENT, AH = 44, 51
V6_EXTENSIONS = (0, 43, FRAGMENT, AH, 60, 135)
V4_EXTENSIONS = (AH,)
MOST_EXTENSIONS = 8

# Tunnels, all those that Linux segments: RFC 2003, 4213, 2784.
IPV4_IN_IP, IPV6_IN_IP, GRE = 4, 41, 47
BRIDGED = 0x6558              # Ethernet in GRE and Geneve, RFC 1701
VXLAN_PORTS = (4789, 8472)    # RFC 7348, and what Linux took before there was one
GENEVE_PORT = 6081            # RFC 8926
MOST_TUNNELS = 3

NONIP = ("nonip",)
TRANSPORTS = {"tcp": 0, "udp": 1, "sctp": 2}
KEYS = (3 << 16) + 257

# Kinds of links (see Reference) with an Ethernet header.
WITH_HEADER = ("ethernet", "gre", "foreign")

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


def untagged(frame, aside=0):
    """What is behind an Ethernet header and its tags: the type, and where.

    aside: how many tags were taken out of the frame before.
    """
    if len(frame) < ETH_HEADER:
        return None, 0
    ethertype, at, tags = be16(frame, 12), ETH_HEADER, aside
    while ethertype in VLAN_TYPES:
        if tags == MOST_TAGS or len(frame) < at + 4:
            return None, 0
        ethertype = be16(frame, at + 2)
        at += 4
        tags += 1
    return ethertype, at


def stated_length(ethertype, packet):
    """Of an IP packet, as its header has it; None: by 0, that it can't have it."""
    if ethertype == ETH_IPV4 and len(packet) >= 4:
        return be16(packet, 2) or None
    if ethertype == ETH_IPV6 and len(packet) >= 6 and be16(packet, 4):
        return 40 + be16(packet, 4)
    return None


def carried(protocol, data):
    """The content of a tunnel whose header data begins with: its ethertype and itself."""
    if protocol == IPV4_IN_IP:
        return ETH_IPV4, data
    if protocol == IPV6_IN_IP:
        return ETH_IPV6, data
    if protocol == GRE and len(data) >= 4:
        optional = [bit for bit in (0x8000, 0x2000, 0x1000) if be16(data, 0) & bit]
        return be16(data, 2), data[4 + 4 * len(optional):]  # RFC 2890 has the picture
    if protocol == 17 and len(data) >= 12:
        if be16(data, 2) in VXLAN_PORTS:
            return BRIDGED, data[8 + 8:]
        if be16(data, 2) == GENEVE_PORT:
            return be16(data, 10), data[8 + 8 + 4 * (data[8] & 0x3F):]
    return None, data


def headers(packet, upper, tunnels=0):
    """What a segment of this IP packet begins with, and whether that is sure to be all.

    upper: protocol and place of what is behind IP. UDP that comes from no tunnel may be one
    that is not known.
    """
    protocol, at = upper
    data = packet[at:]
    if protocol == 6:
        return at + (data[12] >> 4) * 4 if len(data) > 12 else at, True
    if protocol == 132:
        return at + 12, True  # the common header; chunks are the payload
    plain = (at + 8, tunnels > 0) if protocol == 17 else (at, False)
    if tunnels == MOST_TUNNELS:
        return plain
    ethertype, inner = carried(protocol, data)
    if ethertype == BRIDGED:
        ethertype, begin = untagged(inner)
        inner = inner[begin:]
    # One packet is cut into segments: the inner header tells of all of it.
    if (stated_length(ethertype, inner) or len(inner)) != len(inner):
        return plain
    _, upper = Reference("raw").dissect(inner, "in", ethertype)
    if upper is None or upper[1] > len(inner):  # or the headers would end behind it
        return plain
    size, known = headers(inner, upper, tunnels + 1)
    return len(packet) - len(inner) + size, known


class Reference:
    """What one BPF object, bound to one interface, has to do.

    link: "ethernet", "raw", or one of a length that the classifier is not told:
    "gre", which has a header; "foreign", whose header is not to be counted; "bare",
    which is as foreign, but has none. A header is of 14 bytes, since test_run makes
    one. The memory of first fragments is unbounded here, so whoever feeds both must
    not let it grow past the kernel's.
    """

    def __init__(self, link="ethernet", count_by="local"):
        self.link = link
        self.count_by = count_by
        self.memory = {}

    def forget(self):
        self.memory.clear()

    def read(self, frame, direction, protocol=None, aside=0):
        """The key of a frame; direction is "in" or "eg".

        protocol is the skb's own (an ethertype), not used on Ethernet links; aside is for
        these only, see untagged().
        """
        key, _ = self.dissect(frame, direction, protocol, aside)
        return key

    def size(self, frame, aside=0):
        """What is counted of one packet; tags that were taken out are of the link header."""
        return len(frame) - ETH_HEADER if self.link == "foreign" else len(frame) + 4 * aside

    def dissect(self, frame, direction, protocol=None, aside=0):
        """The key; protocol (None: cut short) and place of what is behind IP, or None."""
        protocol, at = self.network(frame, protocol, aside)
        if protocol == ETH_IPV4:
            return self.ipv4(frame, at, direction)
        if protocol == ETH_IPV6:
            return self.ipv6(frame, at, direction)
        return NONIP, None

    def network(self, frame, protocol, aside=0):
        """Ethertype and place of what is behind the link header."""
        if self.link == "ethernet":
            return untagged(frame, aside)
        return protocol, ETH_HEADER if self.link in WITH_HEADER else 0

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
        if protocol not in PORTS:
            return ("ip", protocol), (protocol, at)
        if len(frame) < at + 4:
            return ("ip", protocol), (None, at)
        port = self.which(be16(frame, at), be16(frame, at + 2), direction)
        key = (PORTS[protocol], port)
        if datagram is not None:
            self.memory[datagram] = key
        return key, (protocol, at)

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
        size = len(frame)
        if not gso_size:
            return self.read(frame, direction, protocol), 1, self.size(frame)
        before = dict(self.memory)
        key, upper = self.dissect(frame, direction, protocol)
        self.memory = before  # fragments are never segmented
        protocol, begin = self.network(frame, protocol)

        link = ETH_HEADER if self.link == "ethernet" else begin
        repeated, known = link, False
        if upper is not None:
            repeated, known = headers(frame[begin:], (upper[0], upper[1] - begin))
            repeated += begin
        packets = gso_segs or max(1, -(-(size - repeated) // gso_size))
        # Where not all is known the kernel's own figure is taken, if no more than all of it is
        # repeated, and not less than the link headers. At ingress (from 6.19) it begins at the
        # network layer.
        if not known and size < wire_len <= size * packets and wire_len >= packets * link:
            counted = wire_len + (packets * link if direction == "in" else 0)
            return key, packets, counted - packets * (size - self.size(frame))
        # RFC 2675: the header with the length of a jumbogram, which none of the segments is.
        jumbo = 0
        if protocol == ETH_IPV6 and key[0] in TRANSPORTS and upper is not None and \
                frame[begin + 6] == 0 and be16(frame, begin + 4) == 0:
            jumbo = 8
        counted = size + (packets - 1) * repeated - packets * jumbo
        return key, packets, counted - packets * (size - self.size(frame))
