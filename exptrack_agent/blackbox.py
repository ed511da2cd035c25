"""The black box: what was logged and is not yet acknowledged, where SIGKILL cannot reach it.

Rows are written into segments in shared memory (layout: exptrack_proto.ring). One thread at a time
writes, holding the run's lock; the courier reads. The box is the only resend buffer: an item leaves it
when the daemon said that it is durable, not before. While no daemon takes them, items are copied to a
spool on disk, and full segments give their memory back.

Bookkeeping is in *spans*: consecutive items that travel as one frame. The writer closes the open span of
rows at a fence (every 128 KiB), before an event, and at a segment's end; the courier closes it on each
round. So nobody ever searches for the border of a row.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections import deque
from pathlib import Path

from exptrack_agent.settings import BoxLimits
from exptrack_proto.frame import Kind, encode_header, rows_prefix
from exptrack_proto.ring import (
    CELL_FIRST,
    CELL_HEAD,
    CELL_NUMBER,
    DATA_OFFSET,
    HEADER_CELLS,
    OWNER_LOCK,
    SUFFIX,
    write_header,
)

FENCE_BYTES = 128 * 1024
"""A row takes at least 12 bytes, so between two fences there are fewer rows than a frame may have."""


_SPARES = 2


class Segment:
    """A piece of shared memory, or of the spool, that holds consecutive items.

    Attributes:
        path: its file; None for memory without one (then a kill loses it).
        memory: the mapped bytes; None once it stands on disk only.
        number: counts the segments of the stream.
        size: bytes of its memory.
        open_spans: spans of it that are not acknowledged.
        copy: its copy in the spool, if any; `copied` bytes of it stand there.
    """

    __slots__ = ("copied", "copy", "memory", "number", "open_spans", "path", "size")

    def __init__(self, path: Path | None, memory: memoryview) -> None:
        self.path = path
        self.memory: memoryview | None = memory
        self.number = 0
        self.size = len(memory)
        self.open_spans = 0
        self.copy: Path | None = None
        self.copied = 0

    @property
    def head(self) -> int:
        """Offset after the last published item."""
        return int(self.cells[CELL_HEAD]) if self.memory is not None else self.copied

    @property
    def cells(self) -> memoryview:
        """The header's numbers; an assignment to one is one 8-byte store."""
        assert self.memory is not None
        return self.memory[: HEADER_CELLS * 8].cast("Q")

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Bytes from memory, or from the copy on disk."""
        if self.memory is not None:
            return self.memory[start:end]
        assert self.copy is not None
        with self.copy.open("rb") as file:
            return os.pread(file.fileno(), end - start, start)


class Span:
    """Consecutive items of one kind in one segment: exactly one frame."""

    __slots__ = ("first", "items", "kind", "segment", "start", "stop")

    def __init__(  # six facts, made in one place
        self, segment: Segment, start: int, stop: int, first: int, items: int, kind: Kind
    ) -> None:
        self.segment = segment
        self.start = start
        self.stop = stop
        self.first = first
        self.items = items
        self.kind = kind

    @property
    def end(self) -> int:
        """The sequence after its last item."""
        return self.first + self.items

    @property
    def size(self) -> int:
        """Bytes of its items."""
        return self.stop - self.start

    def frame(self, run_id: str, stream: bytes) -> bytes:
        """The frame as it travels: a pure function of the items, so a resend is byte for byte the same."""
        header = encode_header(self.kind, run_id, stream, self.first, self.items)
        if self.kind is Kind.ROWS:
            header += rows_prefix(self.items)
        return b"".join((header, self.segment.read(self.start, self.stop)))


class Places:
    """Where a box may keep its files; None: that place cannot be used."""

    __slots__ = ("ring", "spool")

    def __init__(self, ring: Path | None, spool: Path | None) -> None:
        self.ring = ring
        self.spool = spool


class BoxState:
    """What a box holds, for `Run.stats`: bytes in memory and on disk, and why the spool takes no more."""

    __slots__ = ("memory_bytes", "spool_refused", "spooled_bytes")

    def __init__(self) -> None:
        self.memory_bytes = 0
        self.spooled_bytes = 0
        self.spool_refused = ""


class BlackBox:
    """Segments of one stream. The methods under "writer" are called with the run's lock held."""

    def __init__(self, run_id: str, stream: bytes, places: Places, limits: BoxLimits) -> None:
        self.run_id = run_id
        self.stream = stream
        self.limits = limits
        self.state = BoxState()
        self.spans: deque[Span] = deque()
        """Closed spans that the courier has not taken yet."""
        self._places = places
        self._spares: deque[Segment] = deque()
        self._full: deque[Segment] = deque()
        self._next_number = 0
        self._span_start = DATA_OFFSET
        self._span_first = 0
        self._owner: int | None = None
        self._own_places()
        self.active = self._activate(self._new_segment(), 0)

    # --- writer ---------------------------------------------------------------------------------

    def close_rows(self, head: int, sequence: int) -> None:
        """Close the open span of rows, if it holds any, at `head`, before item `sequence`."""
        if sequence > self._span_first:
            self._close(head, sequence, Kind.ROWS)

    def close_item(self, head: int, sequence: int, kind: Kind) -> None:
        """Close a span that holds the one item just written."""
        self._close(head, sequence, kind)

    def acknowledge(self, span: Span) -> None:
        """A span is durable elsewhere; `give_back` frees its segment when it was the last one."""
        span.segment.open_spans -= 1

    def turn(self, sequence: int) -> Segment | None:
        """Leave the active segment for a new one, whose first item is `sequence`; None: there is no room."""
        spare = self._spares.popleft() if self._spares else self._burst()
        if spare is None:
            return None
        self._full.append(self.active)
        self.active = self._activate(spare, sequence)
        return self.active

    def _close(self, head: int, sequence: int, kind: Kind) -> None:
        span = Span(
            self.active, self._span_start, head, self._span_first, sequence - self._span_first, kind
        )
        self.active.open_spans += 1
        self.spans.append(span)
        self._span_start, self._span_first = head, sequence

    def _activate(self, segment: Segment, sequence: int) -> Segment:
        cells = segment.cells
        segment.number = self._next_number
        cells[CELL_NUMBER] = segment.number
        cells[CELL_FIRST] = sequence
        cells[CELL_HEAD] = DATA_OFFSET  # last: a head makes the cells before it valid
        self._next_number += 1
        self._span_start, self._span_first = DATA_OFFSET, sequence
        return segment

    def _burst(self) -> Segment | None:
        """A further segment in memory, made on the training thread because the courier was not in time."""
        if len(self._full) >= self.limits.burst_segments:
            return None
        try:
            return self._new_segment()
        except OSError:
            return None

    # --- courier --------------------------------------------------------------------------------

    def refill(self) -> None:
        """Keep two spare segments ready, so that the training thread never has to make one."""
        while len(self._spares) < _SPARES and len(self._full) < self.limits.segments:
            try:
                self._spares.append(self._new_segment())
            except OSError:
                return  # the writer will see that there is none

    def spool(self) -> None:
        """Copy what is not acknowledged to disk; full segments then give their memory back.

        An `OSError` (a full or read-only disk) leaves things as they are, and `state.spool_refused` says why.
        """
        if self._places.spool is None:
            return
        try:
            for segment in (*self._full, self.active):
                self._copy(segment)
            self.state.spool_refused = ""
        except OSError as error:
            self.state.spool_refused = error.strerror or str(error)
        self.give_back()

    def give_back(self) -> None:
        """Free segments, oldest first: acknowledged ones whole, spooled ones only their memory."""
        while self._full and self._full[0].open_spans == 0:
            segment = self._full.popleft()
            if segment.copy is not None:
                self.state.spooled_bytes -= segment.copied
                segment.copy.unlink(missing_ok=True)
            if segment.memory is not None:
                self._recycle(segment)
        for segment in tuple(self._full):  # a copy: the writer may append meanwhile
            if (
                segment.memory is not None
                and segment.copy is not None
                and segment.copied == segment.head
            ):
                copy = Segment(segment.path, segment.memory)
                segment.memory = None
                self._recycle(copy)

    def _recycle(self, segment: Segment) -> None:
        assert segment.memory is not None
        segment.cells[CELL_HEAD] = 0
        if len(self._spares) < _SPARES and segment.size == self.limits.segment_bytes:
            self._spares.append(Segment(segment.path, segment.memory))
            return
        self.state.memory_bytes -= segment.size
        if segment.path is not None:
            segment.path.unlink(missing_ok=True)

    def _copy(self, segment: Segment) -> None:
        """Bring the segment's copy in the spool up to its head: new items first, the head after them."""
        if segment.memory is None or segment.open_spans == 0:
            return
        head = segment.head
        if segment.copied >= head:
            return
        assert self._places.spool is not None
        if self.state.spooled_bytes + head - segment.copied > self.limits.spool_bytes:
            raise OSError(0, f"the spool holds its {self.limits.spool_bytes} bytes")
        path = segment.copy or self._places.spool / f"{segment.number:08d}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._check_room(descriptor)
            if segment.copied == 0:
                _write_at(descriptor, segment.memory[:DATA_OFFSET], 0, clear_head=True)
            start = max(segment.copied, DATA_OFFSET)
            _write_at(descriptor, segment.memory[start:head], start)
            os.fdatasync(descriptor)
            os.pwrite(descriptor, head.to_bytes(8, "little"), CELL_HEAD * 8)
        finally:
            os.close(descriptor)
        self.state.spooled_bytes += head - segment.copied
        segment.copy, segment.copied = path, head

    def _check_room(self, descriptor: int) -> None:
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize < self.limits.keep_free_bytes:
            raise OSError(0, "the disk is almost full")

    # --- life -----------------------------------------------------------------------------------

    def close(self, *, keep: bool) -> None:
        """Let go of the box. `keep`: items are left in it; a daemon, or `exptrack recover`, takes them."""
        if keep:
            self.spool()
        if not keep or self._is_spooled():
            _remove_folder(self._places.ring)
        if not keep:
            _remove_folder(self._places.spool)
        if self._owner is not None:
            os.close(
                self._owner
            )  # the record lock goes with it: from now on this stream has no owner
            self._owner = None

    def _is_spooled(self) -> bool:
        """Everything that is not acknowledged stands on disk too."""
        segments = [*self._full, self.active]
        return all(
            segment.open_spans == 0 or segment.copied == segment.head for segment in segments
        )

    def _own_places(self) -> None:
        """Make the folders and lock the owner's file, before anybody can see them."""
        for name in ("ring", "spool"):
            final: Path | None = getattr(self._places, name)
            if final is None:
                continue
            try:
                self._own(final)
            except OSError:
                setattr(self._places, name, None)

    def _own(self, final: Path) -> None:
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden = final.with_name(f".{final.name}.new")
        hidden.mkdir(mode=0o700, exist_ok=True)
        if self._owner is None:
            lock = hidden / OWNER_LOCK
            self._owner = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.lockf(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(final)

    def _new_segment(self) -> Segment:
        size = self.limits.segment_bytes
        path = (
            None
            if self._places.ring is None
            else self._places.ring / f"{os.urandom(8).hex()}{SUFFIX}"
        )
        memory = _map_file(path, size) if path is not None else memoryview(mmap.mmap(-1, size))
        segment = Segment(path, memory)
        write_header(segment.cells, self.run_id, self.stream)
        self.state.memory_bytes += size
        return segment


def _map_file(path: Path, size: int) -> memoryview:
    """A mapped file whose every byte has its place: a sparse one would kill the trainer on a full disk."""
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


def _write_at(descriptor: int, data: memoryview, offset: int, *, clear_head: bool = False) -> None:
    if clear_head:
        copy = bytearray(data)
        copy[CELL_HEAD * 8 : CELL_HEAD * 8 + 8] = bytes(8)
        data = memoryview(copy)
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _remove_folder(folder: Path | None) -> None:
    if folder is None:
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
