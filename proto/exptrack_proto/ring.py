r"""The black box on disk: segments of items that a trainer wrote and no daemon has acknowledged yet.

A stream's folder (in shared memory, or in the home) is named by the stream id in hexadecimal and holds
`owner.lock`, on which the living trainer holds a POSIX record lock, and segments `NNNNNNNN.seg`. The spool
folder of the same name holds segments that were moved to disk. Both have the same layout; numbers are
aligned little-endian u64, each published by one aligned 8-byte store (SPEC.md §4)::

    cell 0      magic "XTRING\\0\\0"
    cell 1      format version
    cell 2      number of the segment in its stream, from 0
    cell 3      sequence of the segment's first item
    cell 4      head: file offset after the last published item; below 256: the segment is empty
    cell 5-6    stream id
    cell 7      length of the run id
    cell 8-15   run id, ASCII, padded with zeros
    byte 256    items, packed one after another (rows are arrays of 3, all others maps)

The writer stores an item first and the head after it, so a kill at any instruction leaves only whole items
before the head. When a segment is used again the head is cleared first.
"""

from __future__ import annotations

from typing import NamedTuple

from exptrack_proto.errors import Malformed, UnsupportedVersion
from exptrack_proto.frame import RUN_ID
from exptrack_proto.limits import FORMAT_VERSION, MAX_RUN_ID_CHARS, MAX_SEQUENCE

MAGIC = int.from_bytes(b"XTRING\0\0", "little")
DATA_OFFSET = 256
OWNER_LOCK = "owner.lock"
SUFFIX = ".seg"

CELL_MAGIC = 0
CELL_VERSION = 1
CELL_NUMBER = 2
CELL_FIRST = 3
CELL_HEAD = 4
CELL_STREAM = 5
CELL_RUN_LENGTH = 7
CELL_RUN = 8
HEADER_CELLS = 16
_STREAM_AT = CELL_STREAM * 8
_RUN_AT = CELL_RUN * 8


class RingSegment(NamedTuple):
    """A segment as found: which items of which stream it holds."""

    run_id: str
    stream: bytes
    number: int
    first: int
    items: memoryview


def write_header(cells: memoryview, run_id: str, stream: bytes) -> None:
    """Fill the constant cells of a fresh segment; it stays empty (head 0) until it is used."""
    name = run_id.encode("ascii").ljust(64, b"\0")
    cells[CELL_HEAD] = 0
    for cell, text in ((CELL_STREAM, stream), (CELL_RUN, name)):
        for position in range(0, len(text), 8):
            cells[cell + position // 8] = int.from_bytes(text[position : position + 8], "little")
    cells[CELL_RUN_LENGTH] = len(run_id)
    cells[CELL_VERSION] = FORMAT_VERSION
    cells[CELL_MAGIC] = MAGIC


def read_segment(data: bytes | memoryview) -> RingSegment | None:
    """Read a segment's bytes; None when it is empty.

    Raises:
        UnsupportedVersion: it was written by a newer exptrack.
        Malformed: it is no segment.
    """
    if len(data) < DATA_OFFSET:
        raise Malformed(f"ring segment has {len(data)} bytes, fewer than its header")
    view = memoryview(data)
    cells = view[: HEADER_CELLS * 8].cast("Q")
    if cells[CELL_MAGIC] != MAGIC:
        if cells[CELL_MAGIC] == 0:
            return None  # its maker was killed before the header was complete
        raise Malformed("ring segment does not begin with XTRING")
    if cells[CELL_VERSION] > FORMAT_VERSION:
        raise UnsupportedVersion(
            f"ring segment is version {cells[CELL_VERSION]}, newest known is {FORMAT_VERSION}"
        )
    if cells[CELL_VERSION] == 0:
        raise Malformed("ring segment is version 0")
    head, first = cells[CELL_HEAD], cells[CELL_FIRST]
    if head <= DATA_OFFSET:
        return None
    if head > len(data):
        raise Malformed(f"ring segment says {head} bytes and has {len(data)}")
    if first + head > MAX_SEQUENCE:
        raise Malformed(f"ring segment begins with item {first}")
    run_id, stream = (
        _run_id(view, cells[CELL_RUN_LENGTH]),
        bytes(view[_STREAM_AT : _STREAM_AT + 16]),
    )
    return RingSegment(run_id, stream, cells[CELL_NUMBER], first, view[DATA_OFFSET:head])


def _run_id(view: memoryview, length: int) -> str:
    name = bytes(view[_RUN_AT : _RUN_AT + length]) if length <= MAX_RUN_ID_CHARS else b""
    run_id = name.decode("ascii", "replace")
    if not RUN_ID.fullmatch(run_id):
        raise Malformed(f"ring segment names run {run_id!r}")
    return run_id
