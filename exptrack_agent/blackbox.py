"""The black box: what was logged and is not yet acknowledged, where SIGKILL cannot reach it.

Rows are written into segments in shared memory (layout: exptrack_proto.ring). One thread at a time
writes, holding the run's lock; the courier reads. The box is the only resend buffer: an item leaves it
when the daemon said that it is durable, not before. While no daemon takes them, items are copied to a
spool on disk, and full segments give their memory back.

Bookkeeping is in *spans*: consecutive items that travel as one frame. The writer closes the open span of
rows at a fence (every 128 KiB), before an event, and at a segment's end; the courier closes it on each
round. So nobody ever searches for the border of a row.

Who may touch what: the writer, with the run's lock, the active segment and `open_spans`; the courier alone
full segments, spares and the spool. Where both meet (`_full`, `_spares`, `spans`, `active`) each step is one
operation of a deque or one assignment. A signal may come at any call and raise: what belongs together is
therefore assigned without a call in between.
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
_LAST_WORD_BYTES = 4096


class SpanGone(Exception):
    """What a span held is not there any more: somebody removed the spool."""


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
    """

    __slots__ = ("first", "items", "kind", "segment", "since", "start", "stop")

    def __init__(  # six facts, made in one place
        self, segment: Segment, start: int, stop: int, first: int, items: int, kind: Kind
    ) -> None:
        self.segment = segment
        self.start = start
        self.stop = stop
        self.first = self.since = first
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
    """What a box holds on disk, for `Run.stats`, and why spool or shared memory take no more."""

    __slots__ = ("memory_refused", "spool_refused", "spooled_bytes")

    def __init__(self) -> None:
        self.spooled_bytes = 0
        self.spool_refused = ""
        self.memory_refused = ""
        """Why some segment stands where a kill would lose it, or ""."""


class BlackBox:
    """Segments of one stream. The methods under "writer" are called with the run's lock held."""

    def __init__(self, run_id: str, stream: bytes, places: Places, limits: BoxLimits) -> None:
        """Make the folders, and the first segment.

        Raises:
            OSError: there is no room for it; nothing is left behind.
        """
        self.run_id = run_id
        self.stream = stream
        self.limits = limits
        self.state = BoxState()
        self.spans: deque[Span] = deque()
        """Closed spans that the courier has not taken yet."""
        self.span_start = DATA_OFFSET
        """Where the open span of rows begins, and …"""
        self.span_first = 0
        """… the sequence of its first row."""
        self._places = places
        self._spares: deque[Segment] = deque()
        self._full: deque[Segment] = deque()
        """Left by the writer, and in memory."""
        self._spooled: deque[Segment] = deque()
        """Before those of `_full`: on disk only, so they do not count against memory."""
        self._next_number = 0
        self._owners: list[int] = []
        self._own_places()
        try:
            self.active = self._new_segment()
        except OSError:
            self._abandon()
            raise
        self._prepare(self.active, 0)
        self._next_number = 1

    @property
    def memory_bytes(self) -> int:
        """Bytes of all segments in memory."""
        segments = (self.active, *self._full, *self._spares)
        return sum(segment.size for segment in segments if segment.memory is not None)

    # --- writer ---------------------------------------------------------------------------------

    def close_rows(self, head: int, sequence: int) -> None:
        """Close the open span of rows, if it holds any, at `head`, before item `sequence`."""
        if sequence <= self.span_first:
            return
        active, first = self.active, self.span_first
        span = Span(active, self.span_start, head, first, sequence - first, Kind.ROWS)
        active.open_spans += 1
        self.span_start, self.span_first = head, sequence
        self.spans.append(span)

    def acknowledge(self, span: Span) -> None:
        """A span is durable elsewhere; `give_back` frees its segment when it was the last one."""
        span.segment.open_spans -= 1

    def turn(self, sequence: int, *, last_word: bool = False) -> Segment | None:
        """Leave the active segment for a new one, whose first item is `sequence`; None: there is no room.

        Args:
            sequence: of the next item; all before it are in closed spans.
            last_word: a small segment will do, and is made beyond the limits: the run ends.
        """
        spare = self._spares.popleft() if self._spares else self._burst(last_word=last_word)
        if spare is None:
            return None
        self._prepare(spare, sequence)
        old = self.active
        self.active = spare
        self.span_start, self.span_first = DATA_OFFSET, sequence
        self._next_number += 1
        self._full.append(old)
        return spare

    def _prepare(self, segment: Segment, sequence: int) -> None:
        cells = segment.cells
        segment.number = self._next_number
        cells[CELL_NUMBER] = segment.number
        cells[CELL_FIRST] = sequence
        cells[CELL_HEAD] = DATA_OFFSET  # last: a head makes the cells before it valid

    def _burst(self, *, last_word: bool) -> Segment | None:
        """A further segment in memory, made on the training thread because the courier was not in time."""
        if len(self._full) >= self.limits.burst_segments and not last_word:
            return None
        size = _LAST_WORD_BYTES if last_word else self.limits.segment_bytes
        try:
            return self._new_segment(size)
        except OSError as error:
            self.state.memory_refused = error.strerror or str(error)
        try:
            return self._new_segment(size, anonymous=True)
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
        for line in (self._spooled, self._full):
            while line and line[0].open_spans == 0:
                segment = line.popleft()
                if segment.copy is not None:
                    self.state.spooled_bytes -= segment.copied
                    _unlink(segment.copy)
                if segment.memory is not None:
                    self._recycle(segment)
        while self._full and self._full[0].copy is not None:
            segment = self._full[0]
            if segment.memory is None or segment.copied != segment.head:
                return
            in_memory = Segment(segment.path, segment.memory)
            segment.memory = None
            self._spooled.append(self._full.popleft())
            self._recycle(in_memory)

    def _recycle(self, segment: Segment) -> None:
        assert segment.memory is not None
        segment.cells[CELL_HEAD] = 0
        kept = segment.path is not None or self._places.ring is None
        if kept and len(self._spares) < _SPARES and segment.size == self.limits.segment_bytes:
            self._spares.append(Segment(segment.path, segment.memory))
        elif segment.path is not None:
            _unlink(segment.path)

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
        descriptor = self._open_copy(path, segment)
        try:
            self._check_room(descriptor)
            if segment.copied == 0:
                self._begin_copy(descriptor, path, segment.memory)
            start = max(segment.copied, DATA_OFFSET)
            _write_at(descriptor, segment.memory[start:head], start)
            os.fdatasync(descriptor)
            os.pwrite(descriptor, head.to_bytes(8, "little"), CELL_HEAD * 8)
        finally:
            os.close(descriptor)
        self.state.spooled_bytes += head - segment.copied
        segment.copy, segment.copied = path, head

    def _open_copy(self, path: Path, segment: Segment) -> int:
        """The copy's file. One that somebody removed is begun anew, as long as its items are in memory."""
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        if segment.copied:
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                self.state.spooled_bytes -= segment.copied
                segment.copied = 0
        try:
            return os.open(_hidden(path), flags | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._own(path.parent)
            return os.open(_hidden(path), flags | os.O_CREAT, 0o600)

    @staticmethod
    def _begin_copy(descriptor: int, path: Path, memory: memoryview) -> None:
        """A file gets its name when its header is whole: recovery takes less for damage, and rightly so."""
        header = bytearray(memory[:DATA_OFFSET])
        header[CELL_HEAD * 8 : CELL_HEAD * 8 + 8] = bytes(8)
        _write_at(descriptor, memoryview(header), 0)
        _hidden(path).rename(path)

    def _check_room(self, descriptor: int) -> None:
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize < self.limits.keep_free_bytes:
            raise OSError(0, "the disk is almost full")

    # --- life -----------------------------------------------------------------------------------

    def close(self, *, keep: bool) -> bool:
        """Let go of the box. `keep`: items are left in it; a daemon, or `exptrack recover`, takes them.

        Returns:
            False if some of them stand nowhere but in this process's memory, and end with it.
        """
        if keep:
            self.spool()
        is_safe = not keep or not self._is_volatile()
        if not keep or self._is_spooled():
            _remove_folder(self._places.ring)
        if not keep:
            _remove_folder(self._places.spool)
        while self._owners:
            os.close(
                self._owners.pop()
            )  # the record lock goes with it: now this stream has no owner
        return is_safe

    def _is_volatile(self) -> bool:
        return any(
            segment.path is None and segment.open_spans and segment.copied != segment.head
            for segment in (*self._full, self.active)
        )

    def _is_spooled(self) -> bool:
        """Everything that is not acknowledged stands on disk too."""
        segments = [*self._full, self.active]
        return all(
            segment.open_spans == 0 or segment.copied == segment.head for segment in segments
        )

    def _own_places(self) -> None:
        """Make the folders and lock the owner's files, before anybody can see them."""
        for name in ("ring", "spool"):
            final: Path | None = getattr(self._places, name)
            if final is None:
                continue
            try:
                self._own(final)
            except OSError:
                setattr(self._places, name, None)

    def _own(self, final: Path) -> None:
        """Each folder has a lock of its own: whoever removes one must not make the other look orphaned."""
        make_private_folder(final.parent)
        hidden = final.with_name(f".{final.name}.new")
        hidden.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(hidden / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._owners.append(lock)
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(final)
        except OSError:
            _remove_folder(hidden)
            raise

    def _abandon(self) -> None:
        """Leave nothing behind of a box that could not be made."""
        _remove_folder(self._places.ring)
        _remove_folder(self._places.spool)
        while self._owners:
            os.close(self._owners.pop())

    def _new_segment(self, size: int = 0, *, anonymous: bool = False) -> Segment:
        size = size or self.limits.segment_bytes
        path = (
            None
            if self._places.ring is None or anonymous
            else self._places.ring / f"{os.urandom(8).hex()}{SUFFIX}"
        )
        if path is None:
            return self._headed(Segment(None, memoryview(mmap.mmap(-1, size))))
        memory = _map_file(_hidden(path), size)
        segment = self._headed(Segment(path, memory))
        _hidden(path).rename(path)  # only now: recovery takes a segment without a header for damage
        return segment

    def _headed(self, segment: Segment) -> Segment:
        write_header(segment.cells, self.run_id, self.stream)
        return segment


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user only."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


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


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _unlink(path: Path) -> None:
    """Away with it. If it cannot be (a disk turned read-only), the daemon knows its items already."""
    with contextlib.suppress(OSError):
        path.unlink()


def _remove_folder(folder: Path | None) -> None:
    if folder is None:
        return
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir(), key=lambda path: path.name == OWNER_LOCK):
            path.unlink(missing_ok=True)
        folder.rmdir()
