"""The spool: copies on disk of what no daemon has acknowledged, each span with its checksum.

A copy has the layout of the segment it was made from (exptrack_proto.ring): items at the same offsets, and in
the table a seal for each span. It is sparse where spans were acknowledged before. Items and seals are written
and synced, then the head: a torn one costs only itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from exptrack_agent.segment import Segment, Span, hidden
from exptrack_agent.settings import BoxLimits
from exptrack_proto.ring import (
    CELL_HEAD,
    DATA_OFFSET,
    HEAD_COPIES,
    SEAL_BYTES,
    SUFFIX,
    Seal,
    copied_header,
    pack_seal,
    seal_offset,
)


class Spool:
    """One stream's folder of copies.

    Attributes:
        folder: where they stand.
        bytes: what they take.
    """

    __slots__ = ("_limits", "_own", "_stream", "bytes", "folder")

    def __init__(
        self, folder: Path, stream: bytes, limits: BoxLimits, own: Callable[[Path], None]
    ) -> None:
        """The folder exists; `own` makes it again, with its lock, when somebody removed it."""
        self.folder = folder
        self.bytes = 0
        self._stream = stream
        self._limits = limits
        self._own = own

    def copy(self, segment: Segment) -> None:
        """Bring the segment's copy up to its last noted span.

        Raises:
            OSError: the disk, or the budget, takes no more; what was copied before stays.
        """
        if segment.memory is None or segment.open_spans == 0 or segment.is_copied:
            return
        path = segment.copy or self.folder / f"{segment.number:08d}{SUFFIX}"
        descriptor = self._open(path, segment)
        try:
            spans = [span for span in segment.spans if span.stop > segment.copied]
            if not spans:
                return
            cost = sum(span.size + SEAL_BYTES for span in spans)
            cost += 0 if segment.copies else 2 * DATA_OFFSET
            self._check_room(descriptor, cost)
            self._write(descriptor, path, segment, spans)
        finally:
            os.close(descriptor)
        self.bytes += cost
        segment.copy_bytes += cost
        segment.copy, segment.copied = path, spans[-1].stop
        segment.copies += len(spans)

    def forget(self, segment: Segment) -> None:
        """The segment's copy does not count any more."""
        self.bytes -= segment.copy_bytes
        segment.copied = segment.copies = segment.copy_bytes = 0

    def _open(self, path: Path, segment: Segment) -> int:
        """The copy's file. One that somebody removed is begun anew, as long as its items are in memory."""
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        if segment.copies:
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                self.forget(segment)
        try:
            return os.open(hidden(path), flags | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._own(path.parent)
            return os.open(hidden(path), flags | os.O_CREAT, 0o600)

    def _write(self, descriptor: int, path: Path, segment: Segment, spans: list[Span]) -> None:
        memory = segment.memory
        assert memory is not None
        if segment.copies == 0:
            header = memoryview(copied_header(memory))
            _write_at(descriptor, header, segment.size)
            _write_at(descriptor, header, 0)
            hidden(path).rename(path)
        seals = []
        for span in spans:
            span.crc = crc32(memory[span.start : span.stop])
            seal = Seal(span.start, span.stop, span.first, span.items, span.crc)
            seals.append(pack_seal(seal, self._stream, segment.number))
        start, stop = spans[0].start, spans[-1].stop
        _write_at(descriptor, memory[start:stop], start)
        table = memoryview(b"".join(seals))
        _write_at(descriptor, table, seal_offset(segment.size, segment.copies))
        os.fdatasync(descriptor)
        _write_at(descriptor, memoryview((stop * HEAD_COPIES).to_bytes(8, "little")), CELL_HEAD * 8)

    def _check_room(self, descriptor: int, cost: int) -> None:
        if self.bytes + cost > self._limits.spool_bytes:
            raise OSError(0, f"the spool holds its {self._limits.spool_bytes} bytes")
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize < self._limits.keep_free_bytes:
            raise OSError(0, "the disk is almost full")


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
