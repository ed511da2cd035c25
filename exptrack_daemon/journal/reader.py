"""Reading a run's journal from any position, live or at rest. Changes nothing.

Only durable frames are handed out: in the newest segment those before its last mark, in an older one those
before the end that its successor names. Damage is passed over and reported, with the gap in ordinals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exptrack_daemon.files import Files
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.journal.segment import (
    BLOCK_BYTES,
    Damage,
    FrameRecord,
    Mark,
    Record,
    SegmentHeader,
    interpret,
    salt_of,
    scan,
)

_SUFFIX = ".seg"
_READ_BYTES = 4 * 1024 * 1024


def segment_path(directory: Path, segment: int) -> Path:
    return directory / f"{segment:08d}{_SUFFIX}"


def segment_numbers(files: Files, directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    stems = (
        name.removesuffix(_SUFFIX) for name in files.names(directory) if name.endswith(_SUFFIX)
    )
    return sorted(int(stem) for stem in stems if stem.isdigit())


class Found(NamedTuple):
    """A durable frame, where it begins, and where the journal goes on after it."""

    start: Position
    end: Position
    frame: memoryview


class Flaw(NamedTuple):
    """Something that should be in the journal and cannot be read. The bytes stay where they are."""

    segment: int
    offset: int
    end: int
    reason: str


@dataclass(slots=True)
class Reading:
    """What one read gave: frames in order, and the position to read on from."""

    frames: list[Found] = field(default_factory=list)
    next: Position = START
    flaws: list[Flaw] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment whose header is intact."""

    header: SegmentHeader
    path: Path
    first: int
    """Offset of the record after the header."""

    @property
    def number(self) -> int:
        return self.header.segment


def read_header(files: Files, directory: Path, run_id: str, number: int) -> Segment | None:
    """The segment's header; None when it holds none (its creation was cut off, or it is damaged).

    Raises:
        JournalNewer: it was written by a newer exptrack.
    """
    path = segment_path(directory, number)
    size = 4 * BLOCK_BYTES
    while True:
        data = files.read(path, 0, size)
        record = next(scan(data, 0, salt_of(run_id, number)), None)
        if record is not None or len(data) < size:
            break
        size *= 4  # a header with very many streams
    if not isinstance(record, Record) or record.offset != 0:
        return None
    header = interpret(record.payload)
    if not isinstance(header, SegmentHeader) or header.segment != number or header.run_id != run_id:
        return None
    return Segment(header, path, record.end)


class JournalReader:
    """Reads one run's journal. Cheap to make; keeps no file open."""

    def __init__(self, files: Files, directory: Path, run_id: str) -> None:
        self._files = files
        self._directory = directory
        self._run_id = run_id
        self._headers: dict[int, Segment] = {}

    def read(self, position: Position = START, max_bytes: int = _READ_BYTES) -> Reading:
        """Frames from `position` on, about `max_bytes` of them; none when there is nothing new."""
        reading = Reading(next=position)
        while not reading.frames:
            here = reading.next
            segment = self._segment_at(reading)
            if segment is None:
                break
            successor = self._successor(segment.number)
            self._read_segment(segment, successor, max_bytes, reading)
            if reading.next == here and successor is None:
                break
            if reading.next == here and not reading.frames and successor is not None:
                self._step_over(successor, reading)
        return reading

    def read_all(self, position: Position = START) -> Iterator[Reading]:
        """Read on until there is nothing new; the last reading has no frames but may have flaws."""
        while True:
            reading = self.read(position)
            yield reading
            if not reading.frames:
                return
            position = reading.next

    def _segment_at(self, reading: Reading) -> Segment | None:
        """The segment that `reading.next` points into, or the first intact one after it."""
        position = reading.next
        segment = self._header(position.segment)
        if segment is None:
            segment = self._successor(position.segment)
            if segment is None:
                return None
            if position > START or segment.header.previous != 0:
                flaw = Flaw(
                    position.segment, position.offset, position.offset, "segment is missing"
                )
                reading.flaws.append(flaw)
            reading.next = self._start_of(segment)
        elif position.offset == 0:
            reading.next = self._start_of(segment)
        return segment

    def _start_of(self, segment: Segment) -> Position:
        header = segment.header
        return Position(header.segment, segment.first, header.record, header.rows)

    def _step_over(self, successor: Segment, reading: Reading) -> None:
        start = self._start_of(successor)
        missing = successor.header.previous not in (reading.next.segment, 0)
        if missing:
            flaw = Flaw(successor.header.previous, 0, 0, "segment is missing")
            reading.flaws.append(flaw)
        elif start.record != reading.next.record:
            lost = start.record - reading.next.record
            flaw = Flaw(
                reading.next.segment,
                reading.next.offset,
                reading.next.offset,
                f"{lost} frames are missing",
            )
            reading.flaws.append(flaw)
        reading.next = start

    def _read_segment(
        self, segment: Segment, successor: Segment | None, max_bytes: int, reading: Reading
    ) -> None:
        end = successor.header.previous_end if successor is not None else None
        if successor is not None and successor.header.previous != segment.number:
            end = None  # the segment between is missing: this one counts up to its last mark
        size = max_bytes
        while True:
            position = reading.next
            wanted = size if end is None else min(size, max(0, end - position.offset))
            data = self._files.read(segment.path, position.offset, wanted)
            self._interpret(segment.number, data, position, end, reading)
            if reading.next != position or len(data) < wanted or wanted < size:
                return
            size *= 4  # no mark within reach: look further

    def _interpret(
        self, number: int, data: bytes, position: Position, end: int | None, reading: Reading
    ) -> None:
        """Take the records up to the last mark (or up to `end`, all of them)."""
        frames: list[Found] = []
        flaws: list[Flaw] = []
        for found in scan(data, position.offset, salt_of(self._run_id, number)):
            if isinstance(found, Damage):
                flaws.append(Flaw(number, found.offset, found.end, found.reason))
                if end is not None:
                    position = position._replace(offset=found.end)
                    reading.flaws += flaws
                    flaws = []
                    reading.next = position
                continue
            meaning = interpret(found.payload)
            if isinstance(meaning, FrameRecord):
                rows = meaning.rows + _rows_in(meaning.frame)
                start = Position(number, found.offset, meaning.record, meaning.rows)
                position = Position(number, found.end, meaning.record + 1, rows)
                frames.append(Found(start, position, meaning.frame))
            else:
                position = position._replace(offset=found.end)
            if end is not None or isinstance(meaning, Mark):
                reading.frames += frames
                reading.flaws += flaws
                reading.next = position
                frames, flaws = [], []

    def _header(self, number: int) -> Segment | None:
        if number not in self._headers:
            try:
                segment = read_header(self._files, self._directory, self._run_id, number)
            except FileNotFoundError:
                return None
            if segment is None:
                return None
            self._headers[number] = segment
        return self._headers[number]

    def _successor(self, number: int) -> Segment | None:
        """The next segment with an intact header."""
        for other in segment_numbers(self._files, self._directory):
            if other > number and (segment := self._header(other)) is not None:
                return segment
        return None


def _rows_in(frame: memoryview) -> int:
    """Rows that a frame adds to the run; 0 for the other kinds (see exptrack_proto.frame's layout)."""
    return int.from_bytes(frame[4:8], "little") if frame[3] == 2 else 0
