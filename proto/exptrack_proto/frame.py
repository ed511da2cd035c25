"""The frame: what travels over ZeroMQ and stands, as it came, in the journal.

Layout (little-endian), the source of truth is SPEC.md §2::

    0   2  magic "XT"
    2   1  format version
    3   1  kind: 1 open, 2 rows, 3 event, 4 close
    4   4  u32 number of items (1 for all kinds but rows)
    8   8  u64 sequence of the first item
    16  16 stream id, random, one per agent incarnation
    32  1  u8 length n of the run id
    33  n  run id, ASCII
    33+n   body: one msgpack value: an array of rows, or one map

A sequence counts the items of a stream from 0; item 0 is always the `open`. So a frame of n items
covers the sequences `first … first + n - 1`, and two frames of a stream never overlap.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from typing import NamedTuple

from exptrack_proto.errors import Malformed, UnsupportedVersion
from exptrack_proto.limits import (
    FORMAT_VERSION,
    MAX_FRAME_BYTES,
    MAX_ROWS_PER_FRAME,
    MAX_RUN_ID_CHARS,
    MAX_SEQUENCE,
    STREAM_ID_BYTES,
)

_MAGIC = b"XT"
_HEADER = struct.Struct("<2sBBIQ16sB")
HEADER_BYTES = _HEADER.size
RUN_ID = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{MAX_RUN_ID_CHARS - 1}}}")


class Kind(IntEnum):
    """What a frame's body holds."""

    OPEN = 1
    ROWS = 2
    EVENT = 3
    CLOSE = 4


_KINDS = {int(kind): kind for kind in Kind}


class Frame(NamedTuple):
    """A frame whose header was checked. `body` is still untrusted msgpack."""

    kind: Kind
    run_id: str
    stream: bytes
    first: int
    items: int
    body: memoryview

    @property
    def end(self) -> int:
        """The sequence that follows the frame's last item."""
        return self.first + self.items


def encode_header(kind: Kind, run_id: str, stream: bytes, first: int, count: int) -> bytes:
    """Pack the bytes that stand before the body.

    Raises:
        ValueError: for a run id or stream id that the format does not allow (a caller's bug).
    """
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run id {run_id!r} is not 1 to 64 of A-Z a-z 0-9 . _ - (first: no . or -)"
        )
    if len(stream) != STREAM_ID_BYTES:
        raise ValueError(f"a stream id has {STREAM_ID_BYTES} bytes, not {len(stream)}")
    name = run_id.encode("ascii")
    return _HEADER.pack(_MAGIC, FORMAT_VERSION, kind, count, first, stream, len(name)) + name


def rows_prefix(count: int) -> bytes:
    """The msgpack array 32 header that turns `count` packed rows, one after another, into a body."""
    return b"\xdd" + count.to_bytes(4, "big")


def parse(data: bytes | memoryview) -> Frame:
    """Check the header of one frame and return its parts; the body is not looked at.

    Raises:
        UnsupportedVersion: the frame was written by a newer exptrack.
        Malformed: anything else is wrong with the header.
    """
    if data[:2] != _MAGIC:
        raise Malformed("frame does not begin with XT")
    if len(data) > 2 and data[2] > FORMAT_VERSION:
        raise UnsupportedVersion(f"frame is version {data[2]}, newest known is {FORMAT_VERSION}")
    if not HEADER_BYTES <= len(data) <= MAX_FRAME_BYTES:
        raise Malformed(f"frame has {len(data)} bytes, not {HEADER_BYTES} to {MAX_FRAME_BYTES}")
    _, version, kind_code, count, first, stream, name_bytes = _HEADER.unpack_from(data)
    kind = _KINDS.get(kind_code)
    if kind is None or version == 0:
        raise Malformed(f"frame has kind {kind_code} and version {version}")
    if first + count > MAX_SEQUENCE:
        raise Malformed(f"sequence {first} is out of range")
    if not 0 < count <= (MAX_ROWS_PER_FRAME if kind is Kind.ROWS else 1):
        raise Malformed(f"a frame of kind {kind.name} cannot hold {count} items")
    view = memoryview(data)
    return Frame(
        kind, _run_id(view, name_bytes), stream, first, count, view[HEADER_BYTES + name_bytes :]
    )


def _run_id(data: memoryview, length: int) -> str:
    name = bytes(data[HEADER_BYTES : HEADER_BYTES + length])
    try:
        run_id = name.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("run id is not ASCII") from error
    if len(name) != length or not RUN_ID.fullmatch(run_id):
        raise Malformed(f"run id {run_id!r} is not allowed")
    return run_id
