"""The bytes of one journal segment. Pure: no files, no clock; told at length in docs/journal-format.md.

A segment is a sequence of blocks of 32 KiB; a fragment never crosses a block's border:

    block   := fragment* padding          padding: zeros, when fewer than 7 bytes are left
    fragment:= crc u32 | length u16 | type u8 | payload          (little-endian)
    type    := 1 full | 2 first | 3 middle | 4 last              (of one record)
    crc     := crc32 of offset u64, type and payload, begun with the segment's salt, so that a fragment of
               another run, segment or place is never taken for one of this

    record  := "H" version u8 | header    always the first record: msgpack of `SegmentHeader`
             | "F" record ordinal u64 | rows ordinal u64 | frame bytes as they came
             | "M" offset u64 | record ordinal u64 | rows ordinal u64
                                          everything before this offset of the segment is durable

What counts (the invariants that writer and reader share):

- A segment is never changed: only appended to by the process that created it, never cut, never reused.
  Each start of the daemon, and each failed write or sync, begins a new segment.
- A segment gets its name when its header is durable, so a file without one was damaged later.
- In the newest segment, what stands before its last mark is durable and was, or may be, acknowledged.
- A segment that has a successor ends where the successor's header says (`previous_end`), which is the end
  of a mark or of the header; what follows is no part of the journal.
- The name of a segment that could not be begun may come back in a power cut. The next one then names the
  segment before it; it holds nothing, or frames that the next one holds too, with the same ordinals.
- Ordinals count frames and rows of the run's whole journal, so a gap of damage is seen and measured.

Damage costs what it touches: after bytes that hold no intact fragment the walk goes on at the next fragment
of the block whose checksum holds, or else at the next block.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from exptrack_daemon.errors import JournalNewer

JOURNAL_VERSION = 1
BLOCK_BYTES = 32 * 1024
_FRAGMENT = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_TYPE = re.compile(rb"[\x01-\x04]", re.DOTALL)
_PLACE = struct.Struct("<QB")
_FRAME = struct.Struct("<cQQ")
_MARK = struct.Struct("<cQQQ")
_ROWS_KIND = 2
_SEARCH_BYTES = 16 * 1024 * 1024
"""How much of a damaged block is checksummed in search of its next fragment; then it is given up."""


class SegmentHeader(msgspec.Struct, frozen=True, array_like=True):
    """What the first record of a segment says. Fields are only ever appended."""

    run_id: str
    segment: int
    previous: int
    """The segment before this one; 0 for the first."""
    previous_end: int
    record: int
    """Frames in the journal before this segment."""
    rows: int
    """Rows in the journal before this segment."""
    created_ns: int
    streams: list[tuple[bytes, int, bool]]
    """Of every stream so far: id, next sequence, whether it was closed."""


class Record(NamedTuple):
    """One intact record of a segment, from `offset` to `end`."""

    offset: int
    end: int
    payload: bytes | memoryview


class Damage(NamedTuple):
    """Bytes that hold no intact record although some should stand there."""

    offset: int
    end: int
    reason: str


def salt_of(run_id: str, segment: int) -> int:
    """What the crc of every fragment of this segment begins with."""
    return zlib.crc32(f"{run_id}/{segment}".encode())


def fragment(payload: bytes, offset: int, salt: int) -> bytes:
    """The bytes to append at `offset` of a segment so that they hold `payload` as one record."""
    parts: list[bytes | memoryview] = []
    rest = memoryview(payload)
    begun = False
    while True:
        room = BLOCK_BYTES - offset % BLOCK_BYTES
        if room < _FRAGMENT.size:
            parts.append(bytes(room))
            offset += room
            room = BLOCK_BYTES
        piece = rest[: room - _FRAGMENT.size]
        rest = rest[len(piece) :]
        kind = _kind(begun, not rest)
        parts += (_FRAGMENT.pack(_crc(piece, kind, offset, salt), len(piece), kind), piece)
        offset += _FRAGMENT.size + len(piece)
        begun = True
        if not rest:
            return b"".join(parts)


def _crc(piece: memoryview, kind: int, offset: int, salt: int) -> int:
    return zlib.crc32(piece, zlib.crc32(_PLACE.pack(offset, kind), salt))


def _kind(begun: bool, ends: bool) -> int:
    if begun:
        return _LAST if ends else _MIDDLE
    return _FULL if ends else _FIRST


def scan(data: bytes | memoryview, offset: int, salt: int) -> Iterator[Record | Damage]:
    """Walk the records in `data`, which begins at `offset` of the segment, at a record's border.

    Stops before a record that is not whole yet. Damage is told before the record that follows it, or at the
    end; where `data` was cut off in the middle of damage, the told end is only that of `data`.
    """
    scanner = _Scanner(memoryview(data), offset, salt)
    return scanner.walk()


class _Broken(NamedTuple):
    """Why there is no fragment at a place."""

    reason: str
    is_short: bool = False
    """Perhaps nothing is wrong: the data ends before the fragment does."""


class _Scanner:
    """The state of one walk: where we are, and the pieces of a record that has begun."""

    def __init__(self, data: memoryview, offset: int, salt: int) -> None:
        self._data = data
        self._base = offset
        self._end = offset + len(data)
        self._at = offset
        self._salt = salt
        self._pieces: list[memoryview] = []
        self._began = offset
        self._lost: Damage | None = None

    def walk(self) -> Iterator[Record | Damage]:
        while self._step_to_header():
            found = self._fragment(self._at)
            if not isinstance(found, _Broken):
                yield from self._take(*found)
                continue
            after = self._search()
            if after is None and found.is_short:
                break
            self._pass_over(found.reason, self._block_end() if after is None else after)
        if self._lost is not None:
            yield self._lost

    def _step_to_header(self) -> bool:
        """Go over the padding of a block; whether a fragment's header may stand here."""
        if self._block_end() - self._at < _FRAGMENT.size:
            self._at = self._block_end()
        return self._at + _FRAGMENT.size <= self._end

    def _block_end(self) -> int:
        return self._at - self._at % BLOCK_BYTES + BLOCK_BYTES

    def _fragment(self, at: int) -> tuple[int, memoryview] | _Broken:
        """The fragment at a place of this block: its type and its payload."""
        crc, length, kind = _FRAGMENT.unpack_from(self._data, at - self._base)
        start = at + _FRAGMENT.size
        if not _FULL <= kind <= _LAST:
            return _Broken(f"fragment type {kind}")
        if start + length > self._block_end():
            return _Broken(f"fragment length {length}")
        if start + length > self._end:
            return _Broken("fragment is cut off", is_short=True)
        piece = self._data[start - self._base : start - self._base + length]
        if _crc(piece, kind, at, self._salt) != crc:
            return _Broken("checksum")
        return kind, piece

    def _search(self) -> int | None:
        """The next intact fragment in this block: where the sizes are damaged nothing else leads to it."""
        stop = min(self._end, self._block_end())
        to_check = _SEARCH_BYTES
        type_at = _FRAGMENT.size - 1
        first = self._at - self._base + 1 + type_at
        for match in _TYPE.finditer(self._data, first, stop - self._base):
            at = self._base + match.start() - type_at
            found = self._fragment(at)
            if not isinstance(found, _Broken):
                return at
            length = int.from_bytes(self._data[match.start() - 2 : match.start()], "little")
            to_check -= length if found.reason == "checksum" else 0
            if to_check < 0:
                return None
        return None

    def _take(self, kind: int, piece: memoryview) -> Iterator[Record | Damage]:
        here = self._at
        self._at += _FRAGMENT.size + len(piece)
        if kind in (_FULL, _FIRST):
            if self._pieces:
                self._note(self._began, here, "record without its end")
            if self._lost is not None:
                yield self._lost
                self._lost = None
            self._began, self._pieces = here, [piece]
        elif not self._pieces:
            self._note(here, self._at, "record without its beginning")
            return
        else:
            self._pieces.append(piece)
        if kind in (_FULL, _LAST):
            payload = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
            yield Record(self._began, self._at, payload)

    def _pass_over(self, reason: str, after: int) -> None:
        start = self._began if self._pieces else self._at
        self._at = min(self._end, after)
        self._note(start, self._at, reason)

    def _note(self, start: int, end: int, reason: str) -> None:
        """Remember damage; it goes on until the next record begins."""
        self._pieces = []
        if self._lost is None:
            self._lost = Damage(start, end, reason)
        else:
            self._lost = self._lost._replace(end=end)


def header_record(header: SegmentHeader) -> bytes:
    return bytes((ord("H"), JOURNAL_VERSION)) + msgspec.msgpack.encode(header)


def frame_record(record: int, rows: int, frame: bytes | memoryview) -> bytes:
    return _FRAME.pack(b"F", record, rows) + frame


def mark_record(offset: int, record: int, rows: int) -> bytes:
    return _MARK.pack(b"M", offset, record, rows)


class FrameRecord(NamedTuple):
    """A frame and its place in the run: how many frames and rows stand before it."""

    record: int
    rows: int
    frame: memoryview

    @property
    def rows_after(self) -> int:
        """Rows of the run up to the end of this frame (see exptrack_proto.frame's layout)."""
        is_rows = len(self.frame) >= 8 and self.frame[3] == _ROWS_KIND
        return self.rows + (int.from_bytes(self.frame[4:8], "little") if is_rows else 0)


class Mark(NamedTuple):
    """Everything before `offset` is durable: so many frames and rows of the run."""

    offset: int
    record: int
    rows: int


_header = msgspec.msgpack.Decoder(SegmentHeader)


def interpret(payload: bytes | memoryview) -> SegmentHeader | FrameRecord | Mark | None:
    """What an intact record says; None for one that a bug must have written.

    Raises:
        JournalNewer: the segment was written by a newer exptrack.
    """
    view = memoryview(payload)
    kind = bytes(view[:1])
    if kind == b"F" and len(view) >= _FRAME.size:
        _, record, rows = _FRAME.unpack_from(view)
        return FrameRecord(record, rows, view[_FRAME.size :])
    if kind == b"M" and len(view) == _MARK.size:
        return Mark(*_MARK.unpack(view)[1:])
    if kind == b"H":
        return _read_header(view[1:])
    return None


def _read_header(data: memoryview) -> SegmentHeader | None:
    if data and data[0] > JOURNAL_VERSION:
        raise JournalNewer(
            f"journal segment of version {data[0]}, newest known is {JOURNAL_VERSION};"
            " install a newer exptrack to open it (nothing was changed)"
        )
    try:
        return _header.decode(data[1:])
    except msgspec.DecodeError:
        return None
