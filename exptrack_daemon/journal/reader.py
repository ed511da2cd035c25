"""Reading a run's journal from any position, live or at rest. Changes nothing.

Only durable frames are handed out: in the newest segment those before its last mark, in an older one those
before the end that its successor names. Damage is passed over and reported, with the gap in ordinals. A
reader never goes back: a frame whose ordinal lies before the position is not handed out again.
"""

from __future__ import annotations

import re
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
_NAME = re.compile(r"([0-9]{8}|[1-9][0-9]{8,18})\.seg")
_READ_BYTES = 4 * 1024 * 1024


def segment_path(directory: Path, segment: int) -> Path:
    return directory / f"{segment:08d}{_SUFFIX}"


def segment_numbers(files: Files, directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    return sorted(
        int(name.removesuffix(_SUFFIX)) for name in files.names(directory) if _NAME.fullmatch(name)
    )


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


def read_header(files: Files, directory: Path, run_id: str, number: int) -> Segment | None:
    """The segment's header; None when it holds none (it is damaged).

    Raises:
        JournalNewer: it was written by a newer exptrack.
    """
    path = segment_path(directory, number)
    found = _first_found(files, path, run_id, number)
    if not isinstance(found, Record) or found.offset != 0:
        return None
    header = interpret(found.payload)
    if not isinstance(header, SegmentHeader) or header.segment != number or header.run_id != run_id:
        return None
    return Segment(header, path, found.end)


def _first_found(files: Files, path: Path, run_id: str, number: int) -> Record | Damage | None:
    size = 4 * BLOCK_BYTES
    while True:
        data = files.read(path, 0, size)
        found = next(scan(data, 0, salt_of(run_id, number)), None)
        if found is not None or len(data) < size:
            return found
        size *= 4  # a header with very many streams


class _Place(NamedTuple):
    """A segment in the chain, with what its header says; the header is None when it is damaged."""

    number: int
    header: SegmentHeader | None
    first: int = 0

    def start(self, so_far: Position) -> Position:
        """Where its records begin; ordinals never go back."""
        header = self.header
        record = so_far.record if header is None else max(header.record, so_far.record)
        rows = so_far.rows if header is None else max(header.rows, so_far.rows)
        return Position(self.number, self.first, record, rows)

    def end_of(self, number: int) -> int | None:
        """Where it says that segment `number` ends; None: it does not say."""
        if self.header is None or self.header.previous != number:
            return None
        return self.header.previous_end


class JournalReader:
    """Reads one run's journal. Cheap to make; keeps no file open.

    One that `remembers`, whose positions are kept across a power cut, makes the name of each segment durable
    before it hands out anything of it: the writer may have been killed before it did so, and a position in a
    segment that a power cut took would later be one in another segment of that number.
    """

    def __init__(
        self, files: Files, directory: Path, run_id: str, *, remembers: bool = False
    ) -> None:
        self._files = files
        self._directory = directory
        self._run_id = run_id
        self._headers: dict[int, _Place] = {}
        self._remembers = remembers
        self._named = 0
        """Up to this segment all names are durable."""

    def read(self, position: Position = START, max_bytes: int = _READ_BYTES) -> Reading:
        """Frames from `position` on, about `max_bytes` of them; none when there is nothing new.

        Raises:
            OSError: the disk cannot be read, or, for one that remembers, synced.
        """
        reading = self._read_on(position, max_bytes)
        if self._remembers and reading.next != position and reading.next.segment > self._named:
            self._files.sync_directory(self._directory)
            self._named = reading.next.segment
        return reading

    def _read_on(self, position: Position, max_bytes: int) -> Reading:
        reading = Reading(next=position)
        while not reading.frames:
            here = reading.next
            place = self._place_at(reading)
            if place is None:
                break
            successor = self._successor(place.number)
            end = successor.end_of(place.number) if successor is not None else None
            self._read_segment(place.number, end, max(1, max_bytes), reading)
            if reading.frames or reading.next != here:
                continue
            if place.header is None and here.offset == 0:
                reading.flaws.append(_flaw_at(here, "the segment has no header"))
            if successor is None:
                break
            self._step_over(successor, end, reading)
        return reading

    def read_all(self, position: Position = START) -> Iterator[Reading]:
        """Read on until there is nothing new; the last reading has no frames but may have flaws."""
        while True:
            reading = self.read(position)
            yield reading
            if not reading.frames:
                return
            position = reading.next

    def _place_at(self, reading: Reading) -> _Place | None:
        """The segment that `reading.next` points into, or the first one after it."""
        position = reading.next
        place = self._place(position.segment)
        if place is None:
            place = self._successor(position.segment)
            if place is None:
                return None
            if place.header is None or place.header.previous >= position.segment:
                reading.flaws.append(_flaw_at(position, "segment is missing"))
            reading.next = place.start(position)
        elif position.offset == 0:
            reading.next = place.start(position)
        return place

    def _step_over(self, successor: _Place, end: int | None, reading: Reading) -> None:
        """Go on in the next segment, and say what is missing before it.

        Bytes at the end of this one that hold no frame are no flaw: a power cut may take a last mark.
        """
        position = reading.next
        reading.next = successor.start(position)
        lost = reading.next.record - position.record
        if successor.header is not None and successor.header.previous > position.segment:
            flaw = Flaw(successor.header.previous, 0, 0, f"segment is missing ({lost} frames)")
            reading.flaws.append(flaw)
        elif lost:
            stop = position.offset if end is None else max(end, position.offset)
            reading.flaws.append(
                Flaw(position.segment, position.offset, stop, f"{lost} frames are missing")
            )

    def _read_segment(self, number: int, end: int | None, max_bytes: int, reading: Reading) -> None:
        """Read on in one segment; more than `max_bytes` when no record ends within them."""
        path = segment_path(self._directory, number)
        size = max_bytes
        while True:
            position = reading.next
            wanted = size if end is None else min(size, max(0, end - position.offset))
            try:
                data = self._files.read(path, position.offset, wanted)
            except FileNotFoundError:
                self._headers.pop(number, None)  # its maker took it back: it had not become durable
                return
            is_all = len(data) < wanted or wanted < size
            page = _Page(number, position, is_past=end is not None)
            page.take(scan(data, position.offset, salt_of(self._run_id, number)))
            if page.counted != position or is_all:
                reading.frames += page.frames
                reading.flaws += page.flaws
                reading.next = page.counted
                return
            size *= 4

    def _place(self, number: int) -> _Place | None:
        """The segment as a link of the chain; None when there is none."""
        if number in self._headers:
            return self._headers[number]
        try:
            segment = read_header(self._files, self._directory, self._run_id, number)
        except FileNotFoundError:
            return None
        if segment is None:
            return _Place(number, None)
        self._headers[number] = _Place(number, segment.header, segment.first)
        return self._headers[number]

    def _successor(self, number: int) -> _Place | None:
        """The next segment that exists."""
        for other in segment_numbers(self._files, self._directory):
            if other > number and (place := self._place(other)) is not None:
                return place
        return None


class _Page:
    """Takes what one read found; what it says counts up to `counted`."""

    def __init__(self, number: int, position: Position, *, is_past: bool) -> None:
        self.frames: list[Found] = []
        self.flaws: list[Flaw] = []
        self.counted = position
        self._number = number
        self._position = position
        self._is_past = is_past
        self._new_frames: list[Found] = []
        self._new_flaws: list[Flaw] = []
        self._explained = False

    def take(self, found: Iterator[Record | Damage]) -> None:
        """In a segment of the past every record counts, in the newest all up to its last mark."""
        for item in found:
            if isinstance(item, Damage):
                self._new_flaws.append(Flaw(self._number, item.offset, item.end, item.reason))
                self._explained = True
                continue
            meaning = interpret(item.payload)
            if isinstance(meaning, FrameRecord):
                self._frame(item, meaning)
            elif isinstance(meaning, Mark):
                self._jump(item.offset, meaning.record, meaning.rows)
            self._position = self._position._replace(offset=item.end)
            if self._is_past or isinstance(meaning, Mark):
                self._count()

    def _frame(self, record: Record, found: FrameRecord) -> None:
        if found.record < self._position.record:
            return  # it was handed out before, from a segment that ended otherwise
        self._jump(record.offset, found.record, found.rows)
        start = Position(self._number, record.offset, found.record, found.rows)
        self._position = Position(self._number, record.end, found.record + 1, found.rows_after)
        self._new_frames.append(Found(start, self._position, found.frame))

    def _jump(self, offset: int, record: int, rows: int) -> None:
        """Ordinals say that so many frames stand before this place."""
        lost = record - self._position.record
        if lost > 0:
            if not self._explained:
                self._new_flaws.append(
                    Flaw(self._number, offset, offset, f"{lost} frames are missing")
                )
            self._position = Position(self._number, offset, record, rows)
        self._explained = False

    def _count(self) -> None:
        self.frames += self._new_frames
        self.flaws += self._new_flaws
        self.counted = self._position
        self._new_frames, self._new_flaws = [], []


def _flaw_at(position: Position, reason: str) -> Flaw:
    return Flaw(position.segment, position.offset, position.offset, reason)
