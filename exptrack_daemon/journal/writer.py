"""Writing a run's journal: append, then commit; what was committed survives anything.

Order of things, which everything else relies on:

1. `append` writes a frame record; nothing is promised yet.
2. `commit` syncs, then writes a mark. Only then may the frames be acknowledged.
3. A failed append or sync leaves this segment for good: what stands after its last mark counts as never
   written, and the next append begins a segment whose header says so. A sync is never tried again.
4. A segment is made beside the others, synced, and only then given its name: it exists whole or not at all.
5. A new process never writes to, or syncs, what another one left. Frames that stand intact after the last
   mark (they may have been acknowledged just before a power cut) are copied into a new segment, which
   then stands there with all of them, durable and marked, or not at all. What is torn there is left.
   Before it promises anything it syncs the folder: the other one may have ended between naming and that.
6. The header only helps: where it is damaged, the segment's frames still count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exptrack_daemon.clock import Clock
from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.files import AppendFile, Files
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import read_header, segment_numbers, segment_path
from exptrack_daemon.journal.segment import (
    Damage,
    FrameRecord,
    Mark,
    SegmentHeader,
    fragment,
    frame_record,
    header_record,
    interpret,
    mark_record,
    salt_of,
    scan,
)
from exptrack_proto.errors import Malformed, UnsupportedVersion
from exptrack_proto.frame import Frame, Kind, parse

MIB = 1024 * 1024
_UNNAMED = "next.tmp"
"""A segment that is being made. One that a crash left is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """How a journal is written."""

    segment_bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        if self.segment_bytes < MIB:
            raise ValueError(
                f"journal.segment_bytes must be at least 1 MiB, not {self.segment_bytes}"
            )


@dataclass(slots=True)
class StreamEnd:
    """How far a stream got in this journal."""

    next: int = 0
    closed: bool = False


@dataclass(slots=True)
class _Tail:
    """Where the journal ends on disk: what the next segment's header will say."""

    segment: int = 0
    end: int = 0
    record: int = 0
    rows: int = 0
    streams: dict[bytes, StreamEnd] = field(default_factory=dict)


class Journal:
    """The one writer of a run's journal. Not thread-safe."""

    def __init__(
        self, files: Files, directory: Path, run_id: str, clock: Clock, config: JournalConfig
    ) -> None:
        self._files = files
        self._directory = directory
        self._run_id = run_id
        self._clock = clock
        self._config = config
        self._file: AppendFile | None = None
        self._number = 0
        self._salt = 0
        self._tail = _Tail()
        self._record = 0
        self._rows = 0
        self._has_folder = False
        self.streams: dict[bytes, StreamEnd] = {}
        self.durable: dict[bytes, int] = {}
        """Of every stream, the sequence up to which frames are committed."""
        self.uncommitted_bytes = 0
        self._recover()

    @property
    def position(self) -> Position:
        """Where the next frame will stand."""
        offset = self._file.size if self._file is not None else 0
        return Position(self._number, offset, self._record, self._rows)

    def append(self, frame: Frame, data: bytes | memoryview) -> None:
        """Write one frame (`data` is the whole of it, `frame` its parsed header) after the last.

        Raises:
            OSError: the disk did not take it. The frame, and all since the last commit, do not count.
        """
        record = frame_record(self._record, self._rows, data)
        try:
            if self._file is None or self._file.size >= self._config.segment_bytes:
                self._begin_segment()
            self._write(record)
        except OSError:
            self._abandon()
            raise
        self.uncommitted_bytes += len(record)
        self._count(frame)

    def commit(self) -> None:
        """Make all appended frames durable; when it returns they may be acknowledged.

        Raises:
            OSError: nothing since the last commit counts; it must be sent again.
        """
        if self._file is None or not self.uncommitted_bytes:
            return
        try:
            self._file.sync()
            self._mark()
        except OSError:
            self._abandon()
            raise

    def close(self) -> None:
        """Commit and release the file."""
        self.commit()
        self._leave()

    def _leave(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None  # whatever `close` says, the descriptor is gone
            file.close()

    def _count(self, frame: Frame) -> None:
        self._record += 1
        self._rows += frame.items if frame.kind is Kind.ROWS else 0
        _note(self.streams, frame)

    def _mark(self) -> None:
        assert self._file is not None
        self._write(mark_record(self._file.size, self._record, self._rows))
        self._tail_here()

    def _tail_here(self) -> None:
        """All that was written counts."""
        assert self._file is not None
        self._tail = _Tail(self._number, self._file.size, self._record, self._rows)
        self._keep_streams()
        self.uncommitted_bytes = 0

    def _keep_streams(self) -> None:
        self._tail.streams = {
            stream: StreamEnd(end.next, end.closed) for stream, end in self.streams.items()
        }
        self.durable = {stream: end.next for stream, end in self.streams.items()}

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        self._file.append(fragment(record, self._file.size, self._salt))

    def _begin_segment(self) -> None:
        """Bring the current segment, if any, to its end, and begin the next one."""
        if self._file is not None:
            self._file.sync()
            self._mark()
            self._leave()
        self._make_segment(())

    def _make_segment(self, adopted: Sequence[_Unmarked]) -> None:
        """Make the next segment, durably; with frames that stand in none which counts."""
        self._make_folder()
        self._number = max([self._number, *segment_numbers(self._files, self._directory)]) + 1
        self._salt = salt_of(self._run_id, self._number)
        unnamed = self._directory / _UNNAMED
        path = segment_path(self._directory, self._number)
        try:
            self._files.remove(unnamed)
            self._file = self._files.open_append(unnamed)
            self._write(header_record(self._header()))
            for found, frame in adopted:
                self._record, self._rows = found.record, found.rows
                self._write(frame_record(found.record, found.rows, found.frame))
                self._count(frame)
            self._write(mark_record(self._file.size, self._record, self._rows))
            self._file.sync()
            self._files.rename(unnamed, path)
            self._files.sync_directory(self._directory)
        except OSError:
            self._remove(unnamed, path)  # a full disk must not fill with empty segments
            raise
        self._tail_here()

    def _remove(self, *paths: Path) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                self._files.remove(path)

    def _header(self) -> SegmentHeader:
        return SegmentHeader(
            run_id=self._run_id,
            segment=self._number,
            previous=self._tail.segment,
            previous_end=self._tail.end,
            record=self._tail.record,
            rows=self._tail.rows,
            created_ns=self._clock.now_ns(),
            streams=[(stream, end.next, end.closed) for stream, end in self.streams.items()],
        )

    def _make_folder(self) -> None:
        """The run's folders, with their names durable from the top down, before the first segment."""
        if self._has_folder:
            return
        self._files.make_directory(self._directory)
        for folder in (self._directory.parent.parent, self._directory.parent):
            self._files.sync_directory(folder)
        self._has_folder = True

    def _abandon(self) -> None:
        """Leave the segment: back to the last commit, and never write to this file again."""
        with contextlib.suppress(OSError):
            self._leave()
        self.uncommitted_bytes = 0
        self._back_to_tail()

    def _back_to_tail(self) -> None:
        self._record, self._rows = self._tail.record, self._tail.rows
        self.streams = {
            stream: StreamEnd(end.next, end.closed) for stream, end in self._tail.streams.items()
        }

    def _recover(self) -> None:
        """Find the journal's end; adopt, durably, what is intact after the last mark."""
        ending = self._ending()
        if ending.segment == 0:
            return
        self._files.sync_directory(self._directory)
        self._has_folder = True
        self._number = ending.segment
        self._tail = _Tail(ending.segment, ending.end, ending.record, ending.rows)
        self.streams = ending.streams
        self._keep_streams()
        self._back_to_tail()
        if not ending.unmarked:
            return
        try:
            self._make_segment(ending.unmarked)
        except OSError:
            self._abandon()
            raise

    def _ending(self) -> _Ending:
        """What the newest segments hold, from the newest whose header is intact on."""
        ending = _Ending(self._run_id)
        numbers = segment_numbers(self._files, self._directory)
        for first in reversed(range(len(numbers))):
            segment = read_header(self._files, self._directory, self._run_id, numbers[first])
            if segment is not None:
                ending.begin(segment.header)
                numbers = numbers[first:]
                break
        for number in numbers:
            ending.take(number, self._files.read(segment_path(self._directory, number)))
        return ending


class _Ending:
    """Where the journal ends, and what stands after that.

    Before a segment's last mark, damage is rot: passed over. After it, damage is a torn tail: the end.
    """

    def __init__(self, run_id: str) -> None:
        self.segment = 0
        self.end = 0
        self.record = 0
        self.rows = 0
        self.streams: dict[bytes, StreamEnd] = {}
        self.unmarked: list[_Unmarked] = []
        """Intact frames after the last mark."""
        self._run_id = run_id

    def begin(self, header: SegmentHeader) -> None:
        """Take what a segment's header says about all before it."""
        self.record, self.rows = header.record, header.rows
        self.streams = {stream: StreamEnd(end, closed) for stream, end, closed in header.streams}

    def take(self, number: int, data: bytes) -> None:
        """Take a segment, the next of the journal."""
        self.segment, self.end, self.unmarked = number, 0, []
        whole: int | None = None
        for found in scan(data, 0, salt_of(self._run_id, number)):
            if isinstance(found, Damage):
                whole = len(self.unmarked) if whole is None else whole
                continue
            meaning = interpret(found.payload)
            if isinstance(meaning, FrameRecord):
                self._frame(meaning)
            elif isinstance(meaning, Mark):
                self._mark(meaning, found.end)
                whole = None
        self.unmarked = self.unmarked[:whole]

    def _frame(self, found: FrameRecord) -> None:
        try:
            self.unmarked.append(_Unmarked(found, parse(found.frame)))
        except UnsupportedVersion as error:
            raise JournalNewer(f"a frame of run {self._run_id}: {error}") from error
        except Malformed:
            return  # a bug wrote it; readers report it, its ordinal is used up

    def _mark(self, mark: Mark, end: int) -> None:
        for _, frame in self.unmarked:
            _note(self.streams, frame)
        self.end, self.unmarked = end, []
        self.record, self.rows = max(self.record, mark.record), max(self.rows, mark.rows)


class _Unmarked(NamedTuple):
    found: FrameRecord
    frame: Frame


def _note(streams: dict[bytes, StreamEnd], frame: Frame) -> None:
    """A frame was added to its stream."""
    stream = streams.setdefault(frame.stream, StreamEnd())
    stream.next = frame.end
    stream.closed = stream.closed or frame.kind is Kind.CLOSE
