"""Mutations: of bytes, and of msgpack at the borders of its values. Pure: all chance is a `Random` given.

Blind mutation of msgpack mostly breaks it at the first byte. So a seed is cut into its tokens once, and most
mutants replace, repeat, drop or move whole tokens: they stay msgpack, and reach the checks behind it.
"""

from __future__ import annotations

from random import Random

import msgpack

MOST_BYTES = 64 * 1024
"""No mutant is longer."""

LENGTHS = (0, 1, 2, 15, 16, 31, 32, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)

TOKENS: tuple[bytes, ...] = (
    *(bytes([mark]) for mark in (0x80, 0x81, 0x8F, 0x90, 0x91, 0x93, 0x9F, 0xA0, 0xC0, 0xC1)),
    *(bytes([mark]) for mark in (0xC2, 0xC3, 0x00, 0x7F, 0xE0, 0xFF)),
    *(b"\xdd" + length.to_bytes(4, "big") for length in LENGTHS),
    *(b"\xdf" + length.to_bytes(4, "big") for length in LENGTHS),
    *(b"\xdb" + length.to_bytes(4, "big") for length in LENGTHS),
    *(b"\xc6" + length.to_bytes(4, "big") for length in LENGTHS),
    *(mark + b"\xff\xff" for mark in (b"\xdc", b"\xde", b"\xda", b"\xc5")),
    *(b"\xcf" + number.to_bytes(8, "big") for number in (0, 2**53, 2**63 - 1, 2**63, 2**64 - 1)),
    *(b"\xd3" + number.to_bytes(8, "big", signed=True) for number in (-1, -(2**63), 2**63 - 1)),
    *(b"\xcb" + bits for bits in (b"\x7f\xf0" + bytes(6), b"\x7f\xf8" + bytes(6), bytes(8))),
    *(b"\xca" + bits for bits in (b"\x7f\x80\x00\x00", b"\xff\xc0\x00\x01")),
    b"\xd4\x01\x00",
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xc7\x0c\xff" + bytes(12),
    b"\xc9\xff\xff\xff\xff\x05",
    *(msgpack.packb(text) for text in ("", "\0", "a/b", "n" * 1_024, "n" * 1_025, "é" * 600)),
    *(msgpack.packb(text) for text in ("kind", "open", "close", "loss", "chunk", "../../x", "﷽")),
    b"\xa2\xed\xa0",
    b"\xa1\xff",
    b"\x81" * 64,
    b"\x91" * 64,
    b"\x91" * 2_000,
    b"\x81\xa0" * 2_000,
)
"""Values, and beginnings of values, that a careless reader stumbles over."""

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def tokens(data: bytes) -> list[bytes]:
    """A msgpack value cut into the head of each container, and each scalar; damage is one last token."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        size = _token_size(data, at)
        found.append(data[at : at + size])
        at += size
    return found


def _token_size(data: bytes, at: int) -> int:
    mark = data[at]
    if mark <= 0x9F or mark >= 0xE0 or mark in (0xC0, 0xC1, 0xC2, 0xC3):
        return 1
    if mark <= 0xBF:
        return 1 + (mark & 0x1F)
    if 0xD4 <= mark <= 0xD8:
        return 2 + (1 << (mark - 0xD4))
    plain = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5}
    plain |= {0xD3: 9, 0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}
    if mark in plain:
        return plain[mark]
    wide = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}[mark]
    length = int.from_bytes(data[at + 1 : at + 1 + wide], "big")
    return 1 + wide + (mark in (0xC7, 0xC8, 0xC9)) + length


def mutate_msgpack(luck: Random, value: list[bytes], others: list[list[bytes]]) -> bytes:
    """A value whose tokens were changed in one to four places."""
    mutant = list(value)
    for _ in range(1 + int(luck.random() ** 3 * 4)):
        at = int(luck.random() * (len(mutant) + 1))
        width = int(luck.random() * 4)
        deed = luck.random()
        if deed < 0.4:
            mutant[at : at + 1] = [luck.choice(TOKENS)]
        elif deed < 0.55:
            del mutant[at : at + width]
        elif deed < 0.7:
            mutant[at:at] = mutant[at : at + width] * (1 + int(luck.random() * 8))
        elif deed < 0.85:
            other = luck.choice(others)
            start = int(luck.random() * (len(other) or 1))
            mutant[at : at + width] = other[start : start + 1 + int(luck.random() * 12)]
        elif deed < 0.95 and at < len(mutant):
            mutant[at] = mutate_bytes(luck, mutant[at])
        else:
            luck.shuffle(mutant)
    return b"".join(mutant)[:MOST_BYTES]


def mutate_bytes(luck: Random, data: bytes) -> bytes:
    """The bytes with flips, cuts, repeats and odd numbers in one to four places."""
    mutant = bytearray(data)
    for _ in range(1 + int(luck.random() ** 3 * 4)):
        at = int(luck.random() * (len(mutant) + 1))
        deed = luck.random()
        if deed < 0.35 and at < len(mutant):
            mutant[at] ^= 1 << int(luck.random() * 8)
        elif deed < 0.5 and at < len(mutant):
            mutant[at] = int(luck.random() * 256)
        elif deed < 0.6:
            del mutant[at : at + 1 + int(luck.random() * 16)]
        elif deed < 0.7:
            mutant[at:at] = mutant[at : at + 1 + int(luck.random() * 64)]
        elif deed < 0.8:
            width = luck.choice((1, 2, 4, 8))
            number = luck.choice(_NUMBERS) & (256**width - 1)
            mutant[at : at + width] = number.to_bytes(width, luck.choice(("little", "big")))
        elif deed < 0.9:
            mutant[at:at] = luck.choice(TOKENS)
        else:
            del mutant[at:]
    return bytes(mutant[:MOST_BYTES])
