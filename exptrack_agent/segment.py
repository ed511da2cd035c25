"""Segments of a black box, the spans of items in them, and what their files need.

A segment is a piece of shared memory that is filled from front to back (layout: exptrack_proto.ring). When it
has left memory, its spans are read from its copy in the spool, and only if their checksum is right.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque
from pathlib import Path
from zlib import crc32

from exptrack_proto.frame import Kind, encode_header, rows_prefix
from exptrack_proto.ring import (
    CELL_HEAD,
    DATA_OFFSET,
    OWNER_LOCK,
    SEALED_SPAN_BYTES,
    Seal,
    cells_of,
    head_of,
    pack_seal,
    seal_offset,
    table_offset,
)


class SpanGone(Exception):
    """What a span held is not there any more: somebody removed the spool, or it is damaged."""


class Segment:
    """A piece of shared memory, or of the spool, that holds consecutive items.

    Attributes:
        path: its file; None for memory without one (then a kill loses it).
        memory: the mapped bytes; None once it stands on disk only.
        number: counts the segments of the stream.
        size: the offset up to which items may reach.
        open_spans: spans of it that are not acknowledged.
        spans: closed spans that are not acknowledged, as far as the courier has noted them.
        noted: where the last noted span ends.
        sealed: where the last seal in memory ends, `sealed_first` the sequence there, `seals` their count.
        copy: its copy in the spool, if any; `copied` is where its last copied span ends, `copies` how many
            spans of it stand there, `copy_bytes` what they take.
    """

    __slots__ = (
        "copied",
        "copies",
        "copy",
        "copy_bytes",
        "memory",
        "noted",
        "number",
        "open_spans",
        "path",
        "sealed",
        "sealed_first",
        "seals",
        "size",
        "spans",
    )

    def __init__(self, path: Path | None, memory: memoryview) -> None:
        self.path = path
        self.memory: memoryview | None = memory
        self.number = 0
        self.size = table_offset(len(memory))
        self.open_spans = 0
        self.spans: deque[Span] = deque()
        self.noted = self.sealed = DATA_OFFSET
        self.sealed_first = self.seals = 0
        self.copy: Path | None = None
        self.copied = self.copies = self.copy_bytes = 0

    @property
    def head(self) -> int:
        """Offset after the last published item."""
        if self.memory is None:
            return self.copied
        return head_of(int(self.cells[CELL_HEAD])) or 0

    @property
    def cells(self) -> memoryview:
        """The header's numbers; an assignment to one is one 8-byte store."""
        assert self.memory is not None
        return cells_of(self.memory)

    @property
    def is_copied(self) -> bool:
        """Everything of it that is not acknowledged stands on disk too."""
        if self.open_spans == 0:
            return True
        is_noted = self.noted == self.head
        return is_noted and (not self.spans or self.copied >= self.spans[-1].stop)

    def note(self, span: Span, stream: bytes) -> None:
        """A closed span of it; the memory is sealed when enough of it is closed."""
        if span.stop <= self.noted:
            return
        self.noted = span.stop
        self.spans.append(span)
        if span.stop - self.sealed >= min(SEALED_SPAN_BYTES, self.size // 4):
            self.seal(stream, span.end)

    def seal(self, stream: bytes, sequence: int) -> None:
        """Give what is noted and not sealed a seal; `sequence` is that of the next item."""
        start, stop = self.sealed, self.noted
        if self.memory is None or self.path is None or start >= stop:
            return
        at = seal_offset(self.size, self.seals)
        items = sequence - self.sealed_first
        seal = Seal(start, stop, self.sealed_first, items, crc32(self.memory[start:stop]))
        packed = pack_seal(seal, stream, self.number)
        if at + len(packed) > len(self.memory):
            return
        self.memory[at : at + 24] = packed[:24]
        self.memory[at + 24 : at + 32].cast("Q")[0] = int.from_bytes(packed[24:], "little")
        self.sealed, self.sealed_first, self.seals = stop, sequence, self.seals + 1

    def clear(self) -> None:
        """Make it empty: the head first, since without one nothing in it counts."""
        assert self.memory is not None
        self.cells[CELL_HEAD] = 0
        table = seal_offset(self.size, 0)
        self.memory[table:] = bytes(len(self.memory) - table)

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Bytes from memory, or from the copy on disk.

        Raises:
            SpanGone: the copy is not there, or too short.
        """
        if self.memory is not None:
            return self.memory[start:end]
        assert self.copy is not None
        try:
            with self.copy.open("rb") as file:
                data = os.pread(file.fileno(), end - start, start)
        except FileNotFoundError as error:
            raise SpanGone(f"{self.copy} is gone") from error
        if len(data) < end - start:
            raise SpanGone(f"{self.copy} is too short")
        return data


class Span:
    """Consecutive items of one kind in one segment: exactly one frame.

    Attributes:
        since: the first sequence it accounts for: its own first, or, of a ledger entry, the first it names.
        crc: checksum of its bytes as they were copied to the spool.
    """

    __slots__ = ("crc", "first", "items", "kind", "segment", "since", "start", "stop")

    def __init__(  # six facts, made in one place
        self, segment: Segment, start: int, stop: int, first: int, items: int, kind: Kind
    ) -> None:
        self.segment = segment
        self.start = start
        self.stop = stop
        self.first = self.since = first
        self.items = items
        self.kind = kind
        self.crc = 0

    @property
    def end(self) -> int:
        """The sequence after its last item."""
        return self.first + self.items

    @property
    def size(self) -> int:
        """Bytes of its items."""
        return self.stop - self.start

    def frame(self, run_id: str, stream: bytes) -> bytes:
        """The frame as it travels: a pure function of the items, so a resend is byte for byte the same.

        Raises:
            SpanGone: it stood on disk only, and is gone or damaged.
        """
        header = encode_header(self.kind, run_id, stream, self.first, self.items)
        if self.kind is Kind.ROWS:
            header += rows_prefix(self.items)
        data = self.segment.read(self.start, self.stop)
        if self.segment.memory is None and crc32(data) != self.crc:
            raise SpanGone(f"{self.segment.copy} is damaged")
        return b"".join((header, data))


def map_file(path: Path, size: int) -> memoryview:
    """A mapped file whose every byte has its place: a sparse one would kill the trainer on a full disk.

    Raises:
        OSError: there is no room; no file is left.
    """
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        os.posix_fallocate(descriptor, 0, size)
        return memoryview(mmap.mmap(descriptor, size))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def hidden(path: Path) -> Path:
    """Its name until it is whole: recovery takes a segment without a header for damage, and rightly so."""
    return path.with_name(f".{path.name}.new")


def unlink(path: Path) -> None:
    """Away with it. If it cannot be (a disk turned read-only), the daemon knows its items already."""
    with contextlib.suppress(OSError):
        path.unlink()


def remove_folder(folder: Path | None) -> None:
    """A stream's folder, its lock last."""
    if folder is None:
        return
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir(), key=lambda path: path.name == OWNER_LOCK):
            path.unlink(missing_ok=True)
        folder.rmdir()
