"""Writing a run's journal: append, then commit; what was committed survives anything.

Order of things, which everything else relies on:

1. `append` writes a frame record; nothing is promised yet.
2. `commit` syncs, then writes a mark. Only then may the frames be acknowledged.
3. A failed append or sync leaves this segment for good: what stands after its last mark counts as never
   written, and the next append begins a segment whose header says so. A sync is never tried again.
4. A new process first makes durable, and adopts, the intact records after the newest segment's last mark
   (they may have been acknowledged just before a power cut), then begins a new segment.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from exptrack_daemon.clock import Clock
from exptrack_daemon.files import AppendFile, Files
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import (
    Segment,
    read_header,
    segment_numbers,
    segment_path,
)
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
from exptrack_proto.frame import Frame, Kind, parse

MIB = 1024 * 1024


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
        self._record = 0
        self._rows = 0
        self.streams: dict[bytes, StreamEnd] = {}
        self.durable: dict[bytes, int] = {}
        """Of every stream, the sequence up to which frames are committed."""
        self.uncommitted_bytes = 0
        self._tail = self._recover()
        self._record, self._rows = self._tail.record, self._tail.rows

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
        self._record += 1
        self._rows += frame.items if frame.kind is Kind.ROWS else 0
        self._note(frame)

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
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note(self, frame: Frame) -> None:
        stream = self.streams.setdefault(frame.stream, StreamEnd())
        stream.next = frame.end
        stream.closed = stream.closed or frame.kind is Kind.CLOSE

    def _mark(self) -> None:
        assert self._file is not None
        end = self._file.size
        self._write(mark_record(end))
        self._tail = _Tail(self._number, self._file.size, self._record, self._rows)
        self.durable = {stream: state.next for stream, state in self.streams.items()}
        self.uncommitted_bytes = 0

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        self._file.append(fragment(record, self._file.size, self._salt))

    def _begin_segment(self) -> None:
        """Close the current segment, if any, and make the next one durable before it is used."""
        if self._file is not None:
            self._file.sync()
            self._mark()
            self._file.close()
            self._file = None
        first = self._number == 0 and not self._files.exists(self._directory)
        if first:
            self._make_directory()
        self._number = max([self._number, *segment_numbers(self._files, self._directory)]) + 1
        self._salt = salt_of(self._run_id, self._number)
        path = segment_path(self._directory, self._number)
        try:
            self._file = self._files.open_append(path)
            self._write(header_record(self._header()))
            self._file.sync()
            self._files.sync_directory(self._directory)
        except OSError:
            with contextlib.suppress(OSError):  # a full disk must not fill with empty segments
                self._files.remove(path)
            raise

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

    def _make_directory(self) -> None:
        """The run's folders, with their names durable from the top down."""
        self._files.make_directory(self._directory)
        for folder in (self._directory.parent, self._directory.parent.parent):
            self._files.sync_directory(folder)

    def _abandon(self) -> None:
        """Leave the segment: back to the last commit, and never write to this file again."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # the descriptor is gone either way
                file.close()
        self.uncommitted_bytes = 0
        self._record, self._rows = self._tail.record, self._tail.rows
        self.streams = {
            stream: StreamEnd(
                self.durable[stream], state.closed and state.next == self.durable[stream]
            )
            for stream, state in self.streams.items()
            if stream in self.durable
        }

    def _recover(self) -> _Tail:
        """Find the journal's end; adopt, durably, what is intact after the last mark."""
        newest = self._newest()
        if newest is None:
            return _Tail()
        header = newest.header
        self._number = newest.number
        for stream, sequence, closed in header.streams:
            self.streams[stream] = StreamEnd(sequence, closed)
        ending = _Ending(newest, self._files.read(newest.path, newest.first), self._run_id)
        if ending.adopts:
            file = self._files.open_append(newest.path)
            try:
                file.sync()
            finally:
                file.close()
        for frame in ending.frames:
            self._note(frame)
        self.durable = {stream: state.next for stream, state in self.streams.items()}
        return _Tail(newest.number, ending.end, ending.record, ending.rows)

    def _newest(self) -> Segment | None:
        for number in reversed(segment_numbers(self._files, self._directory)):
            segment = read_header(self._files, self._directory, self._run_id, number)
            if segment is not None:
                return segment
        return None


class _Ending:
    """What the newest segment holds, and where it ends.

    Before the last mark, damage is rot: passed over. After it, damage is a torn tail: the end.
    """

    def __init__(self, segment: Segment, data: bytes, run_id: str) -> None:
        self.record = segment.header.record
        self.rows = segment.header.rows
        self.end = segment.first
        self.frames: list[Frame] = []
        self.adopts = False
        found = list(scan(data, segment.first, salt_of(run_id, segment.number)))
        meanings = [None if isinstance(item, Damage) else interpret(item.payload) for item in found]
        last_mark = max(
            (i for i, meaning in enumerate(meanings) if isinstance(meaning, Mark)), default=-1
        )
        for index, (item, meaning) in enumerate(zip(found, meanings, strict=True)):
            if isinstance(item, Damage) and index > last_mark:
                break
            self.end = item.end
            if isinstance(meaning, FrameRecord):
                self._take(meaning)
                self.adopts = self.adopts or index > last_mark

    def _take(self, found: FrameRecord) -> None:
        frame = parse(found.frame)
        self.frames.append(frame)
        self.record = found.record + 1
        self.rows = found.rows + (frame.items if frame.kind is Kind.ROWS else 0)
