# SPDX-License-Identifier: MIT
"""Feeds frames to the classifier in the kernel, through the program replay."""

import os
import struct
import subprocess
import tempfile

import reference

# PB_L2_UNKNOWN, PB_L2_FOREIGN
L2_LEN = {"ethernet": "14", "raw": "0", "gre": str(0xFFFFFFFF), "foreign": str(0xFFFFFFFE),
          "bare": str(0xFFFFFFFE)}

# struct record of replay.c
RECORD = struct.Struct("=IIIHHIIIIIIIIQQ")
FRAME, SOURCE = 0, 1
IN, EG = 1, 2

# The kernel remembers 16,384 first fragments, but may evict some long before that.
MOST_REMEMBERED = 400


def program():
    return os.environ.get("PB_REPLAY") or os.path.join(os.environ["PB_BUILD"], "replay")


def limits():
    """The shortest and longest frame of test_run, the longest that can be sent."""
    output = subprocess.run([program(), "--limits"], check=True, stdout=subprocess.PIPE, text=True)
    return tuple(int(word) for word in output.stdout.split())


class Kernel:
    """A loaded classifier that is sent frames and what they have to be."""

    def __init__(self, link="ethernet", count_by="local", how=()):
        self.errors = tempfile.TemporaryFile("w+")
        if link == "bare":
            how = (*how, "--tun")
        self.process = subprocess.Popen(
            [program(), "--l2-len", L2_LEN[link], "--count-by", count_by,
             *how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=1 << 16)
        self.frames = self.runs = 0
        self.broken = False

    def write(self, data):
        if self.broken:
            return
        try:
            self.process.stdin.write(data)
        except BrokenPipeError:
            self.broken = True

    def source(self, name):
        """Names the frames that follow, for reports."""
        name = name.encode(errors="replace")[:4000]
        self.write(RECORD.pack(SOURCE, len(name), *[0] * 13) + name)

    def send(self, frame, count, into=None, out=None, forget=False, gso=(0, 0, 0)):
        """into and out: (key, packets, bytes), None not to send it that way."""
        directions = (IN if into else 0) | (EG if out else 0)
        self.runs += bool(into) + bool(out)
        into = into or (reference.NONIP, 0, 0)
        out = out or (reference.NONIP, 0, 0)
        self.frames += 1
        self.write(RECORD.pack(FRAME, len(frame), count, directions, forget,
                               reference.number(into[0]), reference.number(out[0]), into[1],
                               out[1], gso[0], gso[1], gso[2], 0, into[2], out[2]) + frame)

    def finish(self):
        """(all as expected?, diagnostic lines, number of runs, of them on a device)

        The first is what counts. Frames that could not be run are told of.
        """
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        summary = self.process.stdout.read().decode()
        self.process.stdout.close()
        code = self.process.wait()
        self.errors.seek(0)
        notes = self.errors.read().splitlines()
        self.errors.close()
        told = {what: int(count) for count, what in
                (part.split() for part in summary.split(",") if part.strip())}
        if told.get("refused"):
            notes.append("not run: %d, test_run refuses them and there is no tap device" %
                         told["refused"])
        complete = told.get("frames") == self.frames and \
            told["runs"] + told["refused"] == self.runs
        if not complete:
            notes.append("replay ended early, exit status %d" % code)
        elif code:
            notes.append(summary.strip())
        return code == 0 and complete, notes, told.get("runs", 0), told.get("on_device", 0)


class Pair:
    """Kernel and reference, both fed the same frames in both directions."""

    def __init__(self, link="ethernet", count_by="local", how=()):
        self.kernel = Kernel(link, count_by, how)
        # Through an Ethernet device the outer tag arrives beside the packet.
        self.untags = bool(how) and link in reference.WITH_HEADER
        self.reference = reference.Reference(link, count_by)
        self.epoch = 0  # how often the memory of first fragments was emptied
        self.empty = False
        self.count = 0

    def source(self, name):
        self.kernel.source(name)
        self.count = 0
        self.forget()

    def forget(self):
        self.reference.forget()
        self.epoch += 1
        self.empty = True

    def feed(self, frame, protocol=None, count=None):
        """The keys the reference gives the frame, at ingress and at egress."""
        if len(self.reference.memory) > MOST_REMEMBERED:
            self.forget()
        self.count += 1
        count = self.count if count is None else count
        empty, self.empty = self.empty, False
        size = self.reference.size(frame)
        if self.untags and reference.be16(frame, 12) in reference.VLAN_TYPES:
            arriving = frame[:12] + frame[16:]
            if self.reference.link != "ethernet":
                # In egress it depends on the kernel where L3 is (packet_parse_headers()).
                into = self.reference.read(arriving, "in", reference.be16(arriving, 12))
                self.kernel.send(frame, count, (into, 1, self.reference.size(arriving, 1)), None,
                                 empty)
                return into, None
            into = self.reference.read(arriving, "in", protocol, 1)
        else:
            into = self.reference.read(frame, "in", protocol)
        out = self.reference.read(frame, "eg", protocol)
        self.kernel.send(frame, count, (into, 1, size), (out, 1, size), empty)
        return into, out
