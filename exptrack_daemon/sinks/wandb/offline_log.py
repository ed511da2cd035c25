"""Reading `.wandb` files: what wandb's service has really written down.

A file is 7 bytes (`:W&B`, 0xBEE1, version) and then LevelDB's log format: blocks of 32 KiB counted from the
file's start, in them chunks of crc32 (u32), length (u16), kind (u8) and data; little-endian, the crc over
kind and data. A record is one chunk, or several of the kinds first, middle…, last. wandb has no reader in
Python any more. What is torn at the end is not there yet; reading goes on at the same place later.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_HEADER_BYTES = 7
_BLOCK_BYTES = 32 * 1024
_CHUNK_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_KINDS = (_FULL, _FIRST, _MIDDLE, _LAST)
_READ_BYTES = 8 * 1024 * 1024


class Found(NamedTuple):
    payload: bytes
    end: int
    """Where the next record begins, counted from the file's start."""


def scan(data: bytes, base: int) -> Iterator[Found]:
    """Whole records in `data`, which stands at `base` in its file.

    Pieces of a record that began before `base` are passed over; the first thing that is not whole ends it.
    """
    parts: list[bytes] = []
    offset = 0
    while True:
        room = _BLOCK_BYTES - (base + offset) % _BLOCK_BYTES
        if room < _CHUNK_HEADER.size:
            offset += room
            continue
        chunk = _chunk_at(data, offset)
        if chunk is None:
            return
        kind, piece = chunk
        offset += _CHUNK_HEADER.size + len(piece)
        if kind in (_FULL, _FIRST):
            parts = [piece]
        elif parts:
            parts.append(piece)
        if kind in (_FULL, _LAST) and parts:
            yield Found(b"".join(parts), base + offset)
            parts = []


def _chunk_at(data: bytes, offset: int) -> tuple[int, bytes] | None:
    if offset + _CHUNK_HEADER.size > len(data):
        return None
    crc, size, kind = _CHUNK_HEADER.unpack_from(data, offset)
    start = offset + _CHUNK_HEADER.size
    piece = data[start : start + size]
    whole = kind in _KINDS and len(piece) == size
    if not whole or zlib.crc32(piece, zlib.crc32(data[start - 1 : start])) != crc:
        return None
    return kind, piece


class LogFile:
    """One `.wandb` file, read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = _HEADER_BYTES

    def read_on(self) -> Iterator[Any]:
        """Records (`wandb_internal_pb2.Record`) that have come since the last call."""
        wanted = _READ_BYTES
        while data := _read(self._path, self._offset, wanted):
            before = self._offset
            for payload, end in scan(data, before):
                self._offset = end
                yield _record(payload)
            if len(data) < wanted:
                return
            # A record may be longer than what was read at once.
            wanted = _READ_BYTES if self._offset > before else wanted * 2

    def sync(self) -> None:
        """Make what was read durable: the service only hands it to the system."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def line_of(record: Any) -> int | None:
    """The number of the history line that a record is."""
    return int(record.history.step.num) if record.HasField("history") else None


class Tail(NamedTuple):
    """How a file ends."""

    line: int | None
    """The last history line; None when there is none."""
    end: int
    """Where the last whole record ends."""


def read_tail(path: Path) -> Tail:
    """Read a file's end, from as far back as it takes to find a history line."""
    last_block = _size(path) // _BLOCK_BYTES
    width = 1
    while True:
        start = max(last_block + 1 - width, 0) * _BLOCK_BYTES or _HEADER_BYTES
        tail = Tail(None, start)
        for payload, end in scan(_read(path, start), start):
            line = line_of(_record(payload))
            tail = Tail(tail.line if line is None else line, end)
        if tail.line is not None or start == _HEADER_BYTES:
            return tail
        width *= 4


def cut_torn_end(path: Path) -> None:
    """Take away the pieces of a record that a kill has left unfinished; no whole record goes.

    `wandb sync` stops at such a file, reports success, and never looks at the fragments after it.
    """
    end = read_tail(path).end
    if _HEADER_BYTES < end < _size(path):
        os.truncate(path, end)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, offset: int, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""


def _record(payload: bytes) -> Any:
    from wandb.proto import wandb_internal_pb2

    return wandb_internal_pb2.Record.FromString(payload)
