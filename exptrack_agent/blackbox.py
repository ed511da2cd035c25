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

import fcntl
import mmap
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from exptrack_agent.segment import Segment, Span, SpanGone, hidden, map_file, remove_folder, unlink
from exptrack_agent.settings import BoxLimits
from exptrack_agent.spool import Spool
from exptrack_proto.frame import Kind
from exptrack_proto.ring import (
    CELL_HEAD,
    DATA_OFFSET,
    HEAD_COPIES,
    OWNER_LOCK,
    SUFFIX,
    number_segment,
    write_header,
)

__all__ = ["FENCE_BYTES", "BlackBox", "BoxState", "Places", "Segment", "Span", "SpanGone"]

FENCE_BYTES = 128 * 1024
"""A row takes at least 12 bytes, so between two fences there are fewer rows than a frame may have."""

_SPARES = 2
_LAST_WORD_BYTES = 4096


class Places:
    """Where a box may keep its files; None: that place cannot be used."""

    __slots__ = ("refused", "ring", "spool")

    def __init__(self, ring: Path | None, spool: Path | None) -> None:
        self.ring = ring
        self.spool = spool
        self.refused: dict[str, str] = {}
        """Why a place cannot be used, by its name."""


class BoxState:
    """Why spool or shared memory take no more."""

    __slots__ = ("memory_refused", "spool_refused")

    def __init__(self) -> None:
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
        self._noting: Segment | None = None
        self._noted_to = 0
        """The sequence after the last noted span."""
        self._owners: list[int] = []
        self._own_places()
        self._spool = (
            None if places.spool is None else Spool(places.spool, stream, limits, self._own)
        )
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
        return sum(len(segment.memory) for segment in segments if segment.memory is not None)

    @property
    def spooled_bytes(self) -> int:
        """Bytes of all copies on disk."""
        return self._spool.bytes if self._spool is not None else 0

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
        segment = span.segment
        segment.open_spans -= 1
        while segment.spans and segment.spans[0].end <= span.end:
            segment.spans.popleft()

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
        assert segment.memory is not None
        segment.number, segment.sealed_first = self._next_number, sequence
        number_segment(segment.memory, segment.number, sequence)
        segment.cells[CELL_HEAD] = DATA_OFFSET * HEAD_COPIES  # last: it makes the others valid

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

    def take(self) -> Iterator[Span]:
        """The closed spans that were not taken yet, in order; each is noted in its segment."""
        while self.spans:
            self._note(self.spans[0])
            yield self.spans.popleft()

    def _note(self, span: Span) -> None:
        if span.segment is not self._noting:
            if self._noting is not None:
                self._noting.seal(self.stream, self._noted_to)
            self._noting = span.segment
        span.segment.note(span, self.stream)
        self._noted_to = span.end

    def spool(self) -> None:
        """Copy what is not acknowledged to disk; full segments then give their memory back.

        An `OSError` (a full or read-only disk) leaves things as they are, and `state.spool_refused` says why.
        """
        if self._spool is None:
            return
        for span in self.spans.copy():
            self._note(span)
        try:
            for segment in (*self._full, self.active):
                self._spool.copy(segment)
            self.state.spool_refused = ""
        except OSError as error:
            self.state.spool_refused = error.strerror or str(error)
        self.give_back()

    def give_back(self) -> None:
        """Free segments, oldest first: acknowledged ones whole, spooled ones only their memory."""
        for line in (self._spooled, self._full):
            while line and line[0].open_spans == 0:
                segment = line.popleft()
                if segment.copy is not None and self._spool is not None:
                    self._spool.forget(segment)
                    unlink(segment.copy)
                if segment.memory is not None:
                    self._recycle(segment)
        while self._full and self._full[0].copy is not None:
            segment = self._full[0]
            if segment.memory is None or not segment.is_copied:
                return
            in_memory = Segment(segment.path, segment.memory)
            segment.memory = None
            self._spooled.append(self._full.popleft())
            self._recycle(in_memory)

    def _recycle(self, segment: Segment) -> None:
        assert segment.memory is not None
        segment.clear()
        kept = segment.path is not None or self._places.ring is None
        size = len(segment.memory)
        if kept and len(self._spares) < _SPARES and size == self.limits.segment_bytes:
            self._spares.append(Segment(segment.path, segment.memory))
        elif segment.path is not None:
            unlink(segment.path)

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
            remove_folder(self._places.ring)
        if not keep:
            remove_folder(self._places.spool)
        while self._owners:
            os.close(
                self._owners.pop()
            )  # the record lock goes with it: now this stream has no owner
        return is_safe

    def _is_volatile(self) -> bool:
        return any(
            segment.path is None and not segment.is_copied for segment in (*self._full, self.active)
        )

    def _is_spooled(self) -> bool:
        """Everything that is not acknowledged stands on disk too."""
        return all(segment.is_copied for segment in (*self._full, self.active))

    def _own_places(self) -> None:
        """Make the folders and lock the owner's files, before anybody can see them."""
        for name in ("ring", "spool"):
            final: Path | None = getattr(self._places, name)
            if final is None:
                continue
            try:
                self._own(final)
            except OSError as error:
                setattr(self._places, name, None)
                self._places.refused[name] = error.strerror or str(error)

    def _own(self, final: Path) -> None:
        """Each folder has a lock of its own: whoever removes one must not make the other look orphaned."""
        make_private_folder(final.parent)
        require_private(final.parent)
        fresh = final.with_name(f".{final.name}.new")
        fresh.mkdir(mode=0o700)  # never one that is there: it may lead elsewhere
        try:
            lock = os.open(fresh / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._owners.append(lock)
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.rename(final)
        except OSError:
            remove_folder(fresh)
            raise

    def _abandon(self) -> None:
        """Leave nothing behind of a box that could not be made."""
        remove_folder(self._places.ring)
        remove_folder(self._places.spool)
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
        memory = map_file(hidden(path), size)
        segment = self._headed(Segment(path, memory))
        hidden(path).rename(path)  # only now: recovery takes a segment without a header for damage
        return segment

    def _headed(self, segment: Segment) -> Segment:
        assert segment.memory is not None
        write_header(segment.memory, self.run_id, self.stream)
        return segment


def require_private(folder: Path) -> None:
    """Refuse a folder that somebody made beforehand, to read or lead astray what will be written in it.

    Whoever owns the folder above could do so anyway, and is trusted: a network disk may have one owner.

    Raises:
        OSError: it is a link, another user's, or others may write in it.
    """
    found = folder.lstat()
    owners = (os.getuid(), folder.parent.stat().st_uid)
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid in owners
    if not is_ours or found.st_mode & 0o022:
        raise OSError(0, f"{folder} is a link, another user's, or open to others")


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user only."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
