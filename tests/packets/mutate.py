# SPDX-License-Identifier: MIT
"""Makes strange packets out of ordinary ones."""

import struct

# Values that mean something somewhere in a header
TELLING = (0, 1, 2, 4, 5, 6, 17, 43, 44, 50, 51, 58, 59, 60, 132, 135, 0x45, 0x46, 0x4F, 0x60,
           0x7F, 0x80, 0xFF)
ETHERTYPES = (0x0800, 0x86DD, 0x8100, 0x88A8, 0x0806, 0x8847, 0x05DC, 0x9100)


def flip(random, frame):
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        bit = random.randrange(min(len(frame), 120) * 8)
        frame[bit >> 3] ^= 1 << (bit & 7)


def set_byte(random, frame):
    for _ in range(random.choice((1, 1, 2, 3))):
        frame[random.randrange(min(len(frame), 120))] = random.choice(TELLING)


def any_byte(random, frame):
    frame[random.randrange(min(len(frame), 120))] = random.randrange(256)


def truncate(random, frame):
    del frame[random.randrange(14, min(len(frame), 140) + 1):]


def ethertype(random, frame):
    at = random.choice((12, 16, 20))
    if len(frame) >= at + 2:
        struct.pack_into("!H", frame, at, random.choice(ETHERTYPES))


def lengths(random, frame):
    """Lying lengths: of the packet, of its header, of an extension header."""
    at = random.choice((0, 14, 18, 22))
    field = random.choice(("ihl", "total", "payload", "extension"))
    if len(frame) < at + 44:
        return
    if field == "ihl":
        frame[at] = 0x40 | random.randrange(16)
    elif field == "total":
        struct.pack_into("!H", frame, at + 2, random.choice((0, 20, 21, 28, 1500, 65535)))
    elif field == "payload":
        struct.pack_into("!H", frame, at + 4, random.choice((0, 1, 8, 1500, 65535)))
    else:
        frame[at + random.choice((21, 41))] = random.choice((0, 1, 2, 3, 4, 7, 8, 30, 255))


def fragment(random, frame):
    """Fragment fields, so that first and later ones meet."""
    at = random.choice((0, 14, 18, 22))
    if len(frame) < at + 48:
        return
    if frame[at] >> 4 == 4:
        struct.pack_into("!HH", frame, at + 4, random.randrange(3),
                         random.choice((0, 0x2000, 0x2000, 1, 0x2001, 0x1FFF, 0x4000)))
    else:
        frame[at + 6] = 44
        struct.pack_into("!HI", frame, at + 42, random.choice((0, 1, 1, 8, 9, 0xFFF8, 6)),
                         random.randrange(3))


def insert(random, frame):
    """A piece of something like an extension header, or of a tag."""
    at = random.choice((12, 14, 34, 54, 62))
    if at <= len(frame):
        frame[at:at] = bytes((random.choice(TELLING), random.choice((0, 0, 1, 2)))) + \
            bytes(random.choice((2, 6, 6, 14)))


def remove(random, frame):
    at = random.choice((12, 14, 34, 54, 62))
    if len(frame) >= at + 16:
        del frame[at:at + random.choice((2, 4, 8))]


MUTATIONS = (flip, flip, set_byte, set_byte, any_byte, truncate, ethertype, lengths, fragment,
             fragment, insert, remove)


def splice(random, one, other):
    cut = random.choice((14, 18, 34, 54, 62, random.randrange(14, 100)))
    return bytearray(one[:cut] + other[random.choice((cut, cut, 14, 34, 54)):])


def mutants(random, seeds, shortest, longest):
    """Endless mutants, each within the given lengths."""
    while True:
        frame = bytearray(random.choice(seeds))
        if random.random() < 0.15:
            frame = splice(random, frame, random.choice(seeds))
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            if len(frame) < 14:
                break
            random.choice(MUTATIONS)(random, frame)
        if shortest <= len(frame) <= longest:
            yield bytes(frame)
