"""Every damage of a black box's segment, in the ring and in the spool: no item is made up or lost in silence.

    python -m tests.torture.damage

The segments have 4 KiB: three chunks of items, each with a seal, and in the ring a tail that has none. Each
bit in use is flipped, each byte replaced, each file cut at each place, 512 bytes zeroed, overwritten or
repeated at every eighth. Judged each time: what is read is what was written, under its own sequence; only
chunks that were touched (their items, or their seal) are missing, with the tail behind a damaged seal; and it
is said. What stands in the ring's tail is not vouched for: there a flipped bit may pass, as documented.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from random import Random

from exptrack_proto.codec import split_items
from exptrack_proto.errors import ProtocolError
from exptrack_proto.ring import CELL_TABLE, DATA_OFFSET, SEAL_BYTES, cells_of, seal_offset
from exptrack_proto.ring_reader import read_segment
from tests.support.memory_files import SECTOR
from tests.support.rings import packed_row, sealed_segment_bytes

FIRST = 10
ITEMS = [packed_row(step) for step in range(60)]
CHUNKS = [ITEMS[:20], ITEMS[20:23], ITEMS[23:50]]
TAIL = ITEMS[50:]


class Box:
    """One segment as it was, and where its chunks stand."""

    def __init__(self, *, is_copy: bool) -> None:
        self.is_copy = is_copy
        items = CHUNKS if is_copy else [*CHUNKS, TAIL]
        self.data = bytes(
            sealed_segment_bytes(3, FIRST, CHUNKS, [] if is_copy else TAIL, is_copy=is_copy)
        )
        table = cells_of(memoryview(self.data))[CELL_TABLE]
        ends = [DATA_OFFSET]
        for chunk in items:
            ends.append(ends[-1] + sum(map(len, chunk)))
        seals = [seal_offset(table, n) for n in range(len(CHUNKS))]
        self.places = [
            [place, *([(seal, seal + SEAL_BYTES)] if seal else [])]
            for place, seal in zip(pairwise(ends), [*seals, None][: len(items)], strict=True)
        ]
        self.sequences = []
        sequence = FIRST
        for chunk in items:
            self.sequences.append(range(sequence, sequence + len(chunk)))
            sequence += len(chunk)
        self.truth = dict(enumerate((item for chunk in items for item in chunk), FIRST))
        self.head = range(32, 40)
        self.in_use = [*range(ends[-1]), *range(table, seal_offset(table, len(CHUNKS)))]

    def touched(self, start: int, end: int) -> set[int]:
        """Items that may be missing when these bytes are damaged."""
        hit = [
            any(begin < end and start < stop for begin, stop in places) for places in self.places
        ]
        is_seal_hit = start < len(self.data) and end > self.places[0][1][0]
        if (start < self.head.stop and end > self.head.start) or is_seal_hit:
            hit[-1] = hit[-1] or not self.is_copy
        return {
            n
            for was_hit, range_ in zip(hit, self.sequences, strict=True)
            if was_hit
            for n in range_
        }

    def judge(self, data: bytes, start: int, end: int, *, may_refuse: bool = False) -> None:
        """Judge a damage between two offsets."""
        may_miss = self.touched(start, end)
        unsure = set() if self.is_copy else set(self.sequences[-1]) & may_miss
        try:
            segment = read_segment(data)
        except ProtocolError:
            assert may_refuse, "what has one whole header was refused"
            return
        assert segment is not None, "taken for empty"
        found: dict[int, bytes] = {}
        is_told = segment.is_damaged
        for part in segment.parts:
            assert part.is_sealed or not self.is_copy, "believed on disk without a seal"
            try:
                for sequence, item in enumerate(split_items(part.items), part.first):
                    assert sequence not in found, "twice"
                    found[sequence] = bytes(item)
            except ProtocolError:
                assert not part.is_sealed, "vouched for, and no items"
                is_told = True
        wrong = {n for n, item in found.items() if self.truth.get(n) != item}
        assert wrong <= unsure, "made up"
        missing = self.truth.keys() - found.keys()
        assert missing <= may_miss, "more is lost than was touched"
        assert is_told or missing <= unsure, "lost in silence"
        for hole in segment.holes:
            assert hole.end is None or set(range(hole.first, hole.end)) <= may_miss, "too much said"


BOXES = (Box(is_copy=False), Box(is_copy=True))


def black_box_flips(_: object) -> Iterator[None]:
    """Every bit."""
    for box in BOXES:
        for place, bit in product(box.in_use, range(8)):
            hurt = bytearray(box.data)
            hurt[place] ^= 1 << bit
            is_head = place in box.head  # which one flipped bit does not hurt
            box.judge(bytes(hurt), place, place if is_head else place + 1)
            yield


def black_box_bytes(_: object) -> Iterator[None]:
    """Every byte by some others."""
    for box in BOXES:
        for place in box.in_use:
            for value in {0, 0xFF, (box.data[place] * 31 + 7) % 256} - {box.data[place]}:
                hurt = bytearray(box.data)
                hurt[place] = value
                box.judge(bytes(hurt), place, place + 1)
                yield


def black_box_cuts(_: object) -> Iterator[None]:
    """Every truncation."""
    for box in BOXES:
        for size in range(len(box.data)):
            box.judge(box.data[:size], size, len(box.data), may_refuse=True)
            yield


def black_box_sectors(_: object) -> Iterator[None]:
    """Every 512 bytes, at every eighth place: zeroed, of junk, or a copy of others."""
    for box in BOXES:
        for start in range(0, len(box.data), 8):
            for junk in (
                bytes(SECTOR),
                Random(start).randbytes(SECTOR),
                box.data[512 : 512 + SECTOR],
            ):
                end = min(start + SECTOR, len(box.data))
                hurt = box.data[:start] + junk[: end - start] + box.data[end:]
                box.judge(hurt, start, end)
                yield


BOX_KINDS = (black_box_flips, black_box_bytes, black_box_cuts, black_box_sectors)
