# SPDX-License-Identifier: MIT
"""What tshark makes of the frames the reference has read: a second opinion.

Only its lowest dissectors are enabled, so that nothing in a payload makes a
frame malformed. Compared are the frames tshark has no complaint about, by their
outermost addresses, protocol and ports.
"""

import os
import subprocess
from collections import Counter

DISSECTORS = {"frame", "eth", "ethertype", "vlan", "ieee8021ad", "raw", "ip", "ipv6",
              "ipv6.hopopts", "ipv6.dstopts", "ipv6.routing", "ipv6.fraghdr", "ah", "mipv6",
              "tcp", "udp", "sctp", "data"}

FIELDS = ("frame.number", "frame.protocols", "frame.cap_len", "eth.type", "vlan.etype",
          "ieee8021ad.cvid", "ip.hdr_len", "ip.proto", "ip.src", "ip.dst", "ip.id",
          "ip.flags.mf", "ip.frag_offset",
          "ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt",
          "ipv6.routing.nxt", "ipv6.fraghdr.nxt", "ipv6.fraghdr.offset", "ipv6.fraghdr.more",
          "ipv6.fraghdr.ident", "ah.next_header", "mip6.proto", "tcp.srcport", "tcp.dstport",
          "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport", "_ws.malformed",
          "_ws.expert.severity")

# Which field says what comes after an extension header
FOLLOWING = {"ipv6.hopopts": "ipv6.hopopts.nxt", "ipv6.dstopts": "ipv6.dstopts.nxt",
             "ipv6.routing": "ipv6.routing.nxt", "ipv6.fraghdr": "ipv6.fraghdr.nxt",
             "ah": "ah.next_header", "mipv6": "mip6.proto"}
PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
TAGS = {0x8100, 0x88A8}
ERROR = 0x800000  # PI_ERROR, the severity


class NotCompared(Exception):
    pass


def dissect(path, workdir):
    """Yields one dictionary of lists per frame."""
    environment = dict(os.environ, XDG_CONFIG_HOME=workdir, HOME=workdir)
    settings = os.path.join(workdir, "wireshark")
    os.makedirs(settings, exist_ok=True)
    known = subprocess.run(["tshark", "-G", "protocols"], check=True, env=environment, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    with open(os.path.join(settings, "disabled_protos"), "w") as file:
        for line in known.splitlines():
            name = line.split("\t")[2]
            if name not in DISSECTORS and not name.startswith("_ws."):
                print(name, file=file)
    command = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=|",
               "-E", "occurrence=a", "-E", "aggregator=;"]
    for option in ("ip.defragment", "ipv6.defragment", "tcp.analyze_sequence_numbers",
                   "tcp.desegment_tcp_streams", "tcp.calculate_timestamps",
                   "sctp.reassembly", "sctp.tsn_analysis"):
        command += ["-o", option + ":FALSE"]
    for field in FIELDS:
        command += ["-e", field]
    process = subprocess.Popen(command, env=environment, text=True, errors="replace",
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in process.stdout:
        values = line.rstrip("\n").split("|")
        yield {field: value.split(";") if value else []
               for field, value in zip(FIELDS, values)}
    if process.wait() != 0:
        raise RuntimeError("tshark: exit status %d" % process.returncode)


class Opinion:
    """tshark's key for each frame: at ingress and at egress, by "local"."""

    def __init__(self):
        self.memory = {}

    def forget(self):
        self.memory.clear()

    def keys(self, frame):
        try:
            return self.judge(frame)
        except NotCompared:
            self.disregard(frame)
            raise

    def disregard(self, frame):
        """Later fragments of a frame that is not compared are not either."""
        for family, ids, protocols in (("ip", "ip.id", "ip.proto"),
                                       ("ipv6", "ipv6.fraghdr.ident", "ipv6.fraghdr.nxt")):
            for ident, protocol in zip(frame[ids], frame[protocols]):
                self.memory[(frame[family + ".src"][0], frame[family + ".dst"][0], ident,
                             int(protocol))] = None

    def judge(self, frame):
        if frame["_ws.malformed"] or \
                any(int(s) >= ERROR for s in frame["_ws.expert.severity"]):
            raise NotCompared("tshark calls it malformed")
        layers = [name for name in frame["frame.protocols"][0].split(":") if name != "ethertype"]
        if layers[0] == "eth":
            layers = self.untag(frame, layers[1:])
        elif layers[0] == "raw":
            layers = layers[1:]
        else:
            raise NotCompared("tshark sees no Ethernet header")
        if layers[:1] == ["ip"]:
            return self.ipv4(frame, layers[1:])
        if layers[:1] == ["ipv6"]:
            return self.ipv6(frame, layers[1:])
        if layers[:1] == ["nonip"] or frame["eth.type"][:1] not in (["0x0800"], ["0x86dd"]):
            return ("nonip",), ("nonip",)
        raise NotCompared("tshark stops before the IP header")

    @staticmethod
    def untag(frame, layers):
        tags = len(frame["ieee8021ad.cvid"])  # two service tags are one layer
        outer = [int(t, 16) for t in frame["eth.type"] + frame["vlan.etype"]]
        while layers and layers[0] in ("vlan", "ieee8021ad"):
            layers = layers[1:]
            tags += 1
        if tags > 3 or (tags and any(t not in TAGS for t in outer[:tags])
                        and "ieee8021ad" not in frame["frame.protocols"][0]):
            return ["nonip"]
        if tags and layers[:1] not in (["ip"], ["ipv6"]):
            if outer and outer[-1] in (0x0800, 0x86DD):
                raise NotCompared("tshark stops before the IP header")
            return ["nonip"]
        return layers

    def ipv4(self, frame, layers):
        protocol = int(frame["ip.proto"][0])
        link = 14 + 4 * sum(frame["frame.protocols"][0].split(":").count(tag)
                            for tag in ("vlan", "ieee8021ad"))
        if int(frame["ip.hdr_len"][0]) + link > int(frame["frame.cap_len"][0]) and \
                frame["eth.type"]:
            raise NotCompared("the capture ends in the IP header")
        fragment = (frame["ip.src"][0], frame["ip.dst"][0], frame["ip.id"][0], protocol)
        if int(frame["ip.frag_offset"][0]):
            return self.later(fragment, protocol)
        more = frame["ip.flags.mf"][0] in ("1", "True")
        return self.upper(frame, layers, protocol, ("ah",), fragment if more else None)

    def ipv6(self, frame, layers):
        return self.upper(frame, layers, int(frame["ipv6.nxt"][0]), tuple(FOLLOWING), None)

    def upper(self, frame, layers, protocol, extensions, fragment):
        seen = Counter()
        while layers and layers[0] in extensions:
            layer, layers = layers[0], layers[1:]
            values = frame[FOLLOWING[layer]]
            if seen[layer] >= len(values):
                raise NotCompared("tshark stops in an extension header")
            protocol = int(values[seen[layer]])
            if layer == "ipv6.fraghdr":
                at = seen[layer]
                fragment = (frame["ipv6.src"][0], frame["ipv6.dst"][0],
                            frame["ipv6.fraghdr.ident"][at], protocol)
                if int(frame["ipv6.fraghdr.offset"][at]):
                    return self.later(fragment, protocol)
                if frame["ipv6.fraghdr.more"][at] not in ("1", "True"):
                    fragment = None
            seen[layer] += 1
            if layer == "mipv6" and protocol != 59:
                raise NotCompared("tshark stops at a mobility header")
        if protocol in PORTS:
            name = PORTS[protocol]
            src, dst = frame[name + ".srcport"], frame[name + ".dstport"]
            if layers[:1] != [name] or not src or not dst:
                raise NotCompared("tshark reads no ports")
            keys = (name, int(dst[0])), (name, int(src[0]))
            if fragment:
                self.memory[fragment] = keys
            return keys
        if protocol in (0, 43, 44, 51, 60, 135) and len(extensions) > 1 or \
                protocol == 51:
            raise NotCompared("tshark stops before an extension header")
        return ("ip", protocol), ("ip", protocol)

    def later(self, fragment, protocol):
        keys = self.memory.get(fragment, (("ip", protocol), ("ip", protocol)))
        if keys is None:
            raise NotCompared("a fragment whose first is not compared")
        return keys
