"""What can still be read of a black box's segment: items that are as they were written, and what is missing.

Version 2 (layout: `ring`). What a seal vouches for counts when its checksum says so. In a ring, items after
the last seal count too, since the kernel keeps them as the trainer left them; but not when a seal is damaged,
since then nobody knows where "after" is. In a copy only what is sealed counts. Either of the two headers will
do. Version 1 had no seals: all before its head counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

from exptrack_proto.codec import split_items
from exptrack_proto.errors import Malformed, ProtocolError, UnsupportedVersion
from exptrack_proto.frame import RUN_ID
from exptrack_proto.limits import MAX_RUN_ID_CHARS, MAX_SEQUENCE
from exptrack_proto.ring import (
    CELL_CHECK,
    CELL_COPY,
    CELL_FIRST,
    CELL_HEAD,
    CELL_MAGIC,
    CELL_NUMBER,
    CELL_RUN_LENGTH,
    CELL_TABLE,
    CELL_VERSION,
    DATA_OFFSET,
    HEAD_COPIES,
    MAGIC,
    RING_VERSION,
    RUN_AT,
    SEAL_BYTES,
    STREAM_AT,
    Seal,
    cells_of,
    head_of,
    header_check,
    seal_offset,
    unpack_seal,
)

_MAGIC_BYTES = MAGIC.to_bytes(8, "little")


class Part(NamedTuple):
    """Items of a segment, packed one after another.

    Attributes:
        first: the sequence of the first of them.
        items: their bytes.
        is_sealed: a checksum vouches for them; otherwise they may end in something that is no item.
    """

    first: int
    items: memoryview
    is_sealed: bool


class Hole(NamedTuple):
    """Items that are damaged: `first` … `end` - 1; `end` is None when nobody knows how many they are."""

    first: int
    end: int | None


class RingSegment(NamedTuple):
    """A segment as found: which items of which stream it holds."""

    run_id: str
    stream: bytes
    number: int
    first: int
    parts: tuple[Part, ...]
    holes: tuple[Hole, ...] = ()
    is_damaged: bool = False
    """Something in it is not as it was written, even if no item is missing for it."""


def read_segment(data: bytes | memoryview) -> RingSegment | None:
    """Read a segment's bytes; None when it is empty.

    Raises:
        UnsupportedVersion: it was written by a newer exptrack.
        Malformed: it is no segment.
    """
    if len(data) < DATA_OFFSET:
        raise Malformed(f"ring segment has {len(data)} bytes, fewer than its header")
    view = memoryview(data)
    header = _find_header(view)
    if header is not None:
        return _Sealed(view, header).read()
    cells = cells_of(view)
    if cells[CELL_MAGIC] == 0:
        return None  # its maker was killed before the header was complete
    if cells[CELL_MAGIC] != MAGIC:
        raise Malformed("ring segment does not begin with XTRING")
    version = cells[CELL_VERSION]
    if version > RING_VERSION:
        raise UnsupportedVersion(
            f"ring segment is version {version}, newest known is {RING_VERSION}"
        )
    if version == 1:
        return _read_version_1(view)
    raise Malformed(f"ring segment of version {version} has no header that is whole")


def _read_version_1(view: memoryview) -> RingSegment | None:
    cells = cells_of(view)
    head, first = cells[CELL_HEAD], cells[CELL_FIRST]
    if head <= DATA_OFFSET:
        return None
    if head > len(view):
        raise Malformed(f"ring segment says {head} bytes and has {len(view)}")
    if first + head > MAX_SEQUENCE:
        raise Malformed(f"ring segment begins with item {first}")
    part = Part(first, view[DATA_OFFSET:head], is_sealed=False)
    return RingSegment(_run_id(view), _stream(view), cells[CELL_NUMBER], first, (part,))


def _find_header(view: memoryview) -> memoryview | None:
    """The first of the two headers that is whole."""
    if _is_whole(view, 0):
        return view
    data, at = bytes(view), DATA_OFFSET
    while (at := data.find(_MAGIC_BYTES, at)) >= 0:
        if at % 8 == 0 and _is_whole(view, at) and cells_of(view, at)[CELL_TABLE] == at:
            return view[at:]
        at += 1
    return None


def _is_whole(view: memoryview, at: int) -> bool:
    if len(view) < at + DATA_OFFSET:
        return False
    cells = cells_of(view, at)
    is_ours = cells[CELL_MAGIC] == MAGIC and cells[CELL_VERSION] == RING_VERSION
    return is_ours and cells[CELL_CHECK] == header_check(view[at:])


class _Sealed:
    """One segment of version 2, being read."""

    def __init__(self, view: memoryview, header: memoryview) -> None:
        cells = cells_of(header)
        self.view = view
        self.has_first_header = header is view
        self.run_id, self.stream = _run_id(header), _stream(header)
        self.number, self.first = cells[CELL_NUMBER], cells[CELL_FIRST]
        self.table, self.is_copy = cells[CELL_TABLE], bool(cells[CELL_COPY])
        if not DATA_OFFSET <= self.table <= len(view):
            raise Malformed(f"ring segment's table is said to be at {self.table} of {len(view)}")
        if self.first + self.table > MAX_SEQUENCE:
            raise Malformed(f"ring segment begins with item {self.first}")
        self.is_damaged = not self.has_first_header or not _is_whole(view, self.table)
        self.seals, self.has_bad_seals = self._read_seals()

    def read(self) -> RingSegment | None:
        head = self._head()
        if head is not None and head <= DATA_OFFSET:
            return None
        parts: list[Part] = []
        holes: list[Hole] = []
        at, sequence = DATA_OFFSET, self.first
        for seal in self.seals:
            if seal.first > sequence and not self.is_copy:
                holes.append(Hole(sequence, seal.first))
            items = self.view[seal.start : seal.stop]
            if crc32(items) == seal.crc:
                parts.append(Part(seal.first, items, is_sealed=True))
            else:
                holes.append(Hole(seal.first, seal.end))
            at, sequence = seal.stop, seal.end
        self._read_tail(head, at, sequence, parts, holes)
        damaged = self.is_damaged or bool(holes) or self.has_bad_seals
        return RingSegment(
            self.run_id, self.stream, self.number, self.first, tuple(parts), tuple(holes), damaged
        )

    def _head(self) -> int | None:
        """Where the last published item ends; None: that is damaged."""
        cells = cells_of(self.view)
        cell, is_marked = cells[CELL_HEAD], cells[CELL_MAGIC] == MAGIC
        head = head_of(cell)
        if cell == 0 and is_marked and (self.has_first_header or not self.seals):
            return 0  # a kill came while it was given its number, or cleared
        if head is None or head > self.table or (head <= DATA_OFFSET and not self.has_first_header):
            self.is_damaged = True
            return None
        self.is_damaged = self.is_damaged or head * HEAD_COPIES != cell
        return head

    def _read_tail(
        self, head: int | None, at: int, sequence: int, parts: list[Part], holes: list[Hole]
    ) -> None:
        """What stands after the last seal."""
        if head is None:
            if not self.is_copy:
                holes.append(Hole(sequence, None))
            return
        if head <= at:
            return
        tail = self.view[at:head]
        if self.is_copy or self.has_bad_seals:
            holes.append(Hole(sequence, _end_of(tail, sequence)))
        else:
            parts.append(Part(sequence, tail, is_sealed=False))

    def _read_seals(self) -> tuple[list[Seal], bool]:
        """The seals that are whole, in order, and whether some are not."""
        seals: list[Seal] = []
        has_bad = False
        for data in self._each_seal():
            seal = unpack_seal(data, self.stream, self.number)
            if seal is not None and self._is_possible(seal):
                seals.append(seal)
            else:
                has_bad = True
        seals = sorted(set(seals))  # a copy that a full disk cut short left some twice
        kept = seals[:1]
        for before, seal in pairwise(seals):
            if before.stop <= seal.start and before.end <= seal.first:
                kept.append(seal)
            else:
                has_bad = True
        return kept, has_bad

    def _each_seal(self) -> Iterator[memoryview]:
        begin = seal_offset(self.table, 0)
        for start in range(begin, len(self.view) - SEAL_BYTES + 1, SEAL_BYTES):
            data = self.view[start : start + SEAL_BYTES]
            if any(data[24:]):  # else it was never published
                yield data

    def _is_possible(self, seal: Seal) -> bool:
        return (
            DATA_OFFSET <= seal.start < seal.stop <= self.table
            and seal.items > 0
            and self.first <= seal.first
            and seal.end <= self.first + self.table
        )


def _end_of(items: memoryview, first: int) -> int | None:
    """The sequence after these items, which nobody vouches for; None: they cannot be counted."""
    try:
        return first + sum(1 for _ in split_items(items))
    except ProtocolError:
        return None


def _stream(header: memoryview) -> bytes:
    return bytes(header[STREAM_AT : STREAM_AT + 16])


def _run_id(header: memoryview) -> str:
    length = cells_of(header)[CELL_RUN_LENGTH]
    name = bytes(header[RUN_AT : RUN_AT + length]) if length <= MAX_RUN_ID_CHARS else b""
    run_id = name.decode("ascii", "replace")
    if not RUN_ID.fullmatch(run_id):
        raise Malformed(f"ring segment names run {run_id!r}")
    return run_id
