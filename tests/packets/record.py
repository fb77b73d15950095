# SPDX-License-Identifier: MIT
"""record.py DIRECTORY: what the hand-written cases, GSO and some mutants say to replay,
written down, for kernels where there is no Python. Each run of replay becomes NAME.args
(one a line) and NAME.records (its input).
record.py --swap DIRECTORY: these, for replay on a machine of the other byte order."""

import os
import pathlib
import stat
import struct
import sys

import cases
import differential
import kernel

MUTANTS = 20000

WRAPPER = """#!/bin/bash
[ "$1" = --limits ] && exec "{replay}" "$@"
name=$(mktemp "{directory}/XXXXXX")
printf '%s\\n' "$@" >"$name.args"
rm -f "$name"
tee "$name.records" | "{replay}" "$@"
"""


def swap(directory):
    other = struct.Struct((">" if sys.byteorder == "little" else "<") + kernel.RECORD.format[1:])
    for file in pathlib.Path(directory).glob("*.records"):
        data = file.read_bytes()
        out = bytearray()
        at = 0
        while at < len(data):
            fields = kernel.RECORD.unpack_from(data, at)
            at += kernel.RECORD.size
            out += other.pack(*fields) + data[at:at + fields[1]]
            at += fields[1]
        file.write_bytes(out)
    return 0


def main():
    if sys.argv[1] == "--swap":
        return swap(sys.argv[2])
    directory = os.path.abspath(sys.argv[1])
    wrapper = os.path.join(directory, "record")
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(WRAPPER.format(replay=kernel.program(), directory=directory))
    os.chmod(wrapper, stat.S_IRWXU)
    os.environ["PB_REPLAY"] = wrapper

    tap = differential.Tap()
    shortest, of_test_run, _ = kernel.limits()
    seeds = []
    for topic in cases.TOPICS:
        if topic in (cases.every_ethertype, cases.every_port):
            continue
        differential.hand_written(tap, topic)
        if topic is not cases.truncated:
            seeds += [step.frame for scene in topic() if scene.link == "ethernet"
                      for step in scene.steps[:8] if len(step.frame) <= 600]
    differential.segmentation(tap)
    differential.fuzz(tap, sorted(set(seeds)), "ethernet", "local", MUTANTS, shortest, of_test_run)
    os.remove(wrapper)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
