"""What stands on the modelled file system: a journal, its sinks, and a judge who knows what was promised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from exptrack_daemon.journal.cursor import Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.writer import Journal, StreamEnd
from exptrack_proto.frame import Frame, parse
from tests.support.journals import DIRECTORY, RUN, open_journal, rows_frame
from tests.support.memory_files import RUNS, MemoryFiles

STREAMS = tuple(bytes([65 + number]) * 16 for number in range(3))


@lru_cache(maxsize=4096)
def sent(stream: bytes, first: int) -> tuple[Frame, bytes]:
    """The frame that begins at a sequence: the same however often it is sent, as the agent's frames are."""
    pad = (0, 3, 40, 211, 900)[first * 7_919 % 5]
    data = rows_frame(first, 1 + first % 3, stream=stream, pad=pad)
    return parse(data), data


def path_of(sink: str) -> Path:
    return RUNS / RUN / "sinks" / f"{sink}.json"


@dataclass
class Place:
    """A sink's destination: frames that outlive its worker, cut back to what the cursor says."""

    name: str
    kept: list[bytes] = field(default_factory=list)
    cursor: Cursor = field(default_factory=Cursor)
    reader: JournalReader | None = None
    max_bytes: int = 4_000
    saved: int = 0
    """Frames that a saved cursor counted: no later one may count fewer."""

    def start(self, files: MemoryFiles) -> None:
        """A new worker: go on from the cursor, which must not be ahead of what is kept."""
        self.cursor = load_cursor(files, path_of(self.name))
        counted = self.cursor.state["kept"] if self.cursor.state else 0
        assert counted <= len(self.kept), f"{self.name}: the cursor is ahead of the destination"
        assert counted == self.cursor.delivered == self.cursor.position.record
        assert counted >= self.saved, f"{self.name}: a saved cursor is gone"
        del self.kept[counted:]
        self.reader = JournalReader(files, DIRECTORY, RUN, remembers=True)

    def deliver(self, files: MemoryFiles) -> None:
        """One round of a worker: read, write, move the cursor."""
        if self.reader is None:
            self.start(files)
        self._read()
        save_cursor(files, path_of(self.name), self.cursor)
        self.saved = self.cursor.delivered

    def catch_up(self, files: MemoryFiles) -> None:
        """Read on to the end."""
        self.start(files)
        while self._read():
            self.max_bytes = 1 << 20

    def _read(self) -> bool:
        assert self.reader is not None
        reading = self.reader.read(self.cursor.position, self.max_bytes)
        assert reading.flaws == [], reading.flaws
        self.kept += [bytes(found.frame) for found in reading.frames]
        end, state = reading.next, {"kept": len(self.kept)}
        self.cursor = Cursor(end, end.record, end.rows, None, state)
        return bool(reading.frames)


class World:
    """One run's journal, two sinks, and what was promised to the trainers."""

    def __init__(self, segment_bytes: int, streams: tuple[bytes, ...] = STREAMS[:2]) -> None:
        self.files = MemoryFiles()
        self.segment_bytes = segment_bytes
        self.streams = streams
        self.promised: dict[bytes, int] = {}
        self.places = [Place("one"), Place("two")]
        self.journal: Journal | None = None

    def open(self) -> Journal:
        if self.journal is None:
            self.journal = open_journal(self.files, segment_bytes=self.segment_bytes)
            self.learn()
        return self.journal

    def append_next(self, stream: bytes) -> None:
        """The frame that the stream's trainer sends next."""
        journal = self.open()
        frame, data = sent(stream, journal.streams.get(stream, StreamEnd()).next)
        journal.append(frame, data)

    def commit(self) -> None:
        self.open().commit()

    def deliver_to(self, place: Place) -> None:
        """A sink reads what is durable, and nothing else."""
        try:
            place.deliver(self.files)
        except OSError:
            place.reader = None
            raise
        check_order(place.kept)
        if self.journal is not None:
            ends = _ends(place.kept).items()
            assert all(end <= self.promised.get(stream, 0) for stream, end in ends), (
                "read too early"
            )

    def begin_again(self) -> None:
        """Every process is a new one."""
        self.journal = None
        for place in self.places:
            place.reader = None

    def learn(self) -> None:
        """What was durable once stays so."""
        if self.journal is None:
            return
        for stream, end in self.journal.durable.items():
            assert end >= self.promised.get(stream, 0), "a promise was taken back"
            self.promised[stream] = end
        for stream, end in self.promised.items():
            assert self.journal.durable.get(stream, 0) >= end, "a promise was taken back"

    def judge(self) -> None:
        """Faults end; a fresh frame flows; every promise was kept, exactly once, to everybody."""
        self.files.faults.clear()
        self.journal = None
        self.open()
        for stream in self.streams:
            frame, data = sent(stream, self.next(stream))
            self.open().append(frame, data)
        self.open().commit()
        self.learn()
        for place in self.places:
            seen = list(place.kept)
            place.catch_up(self.files)
            assert place.kept[: len(seen)] == seen, f"{place.name}: what was read has changed"
            check_order(place.kept)
            ends = {stream: self.next(stream) for stream in self.streams}
            assert _ends(place.kept) == ends == self.promised, f"{place.name}: a promise is missing"
        assert self.places[0].kept == self.places[1].kept, "two readers disagree"

    def next(self, stream: bytes) -> int:
        return self.open().streams.get(stream, StreamEnd()).next


def check_order(kept: Iterable[bytes]) -> None:
    """Each stream's frames follow one another without a gap or a repetition, byte for byte."""
    ends: dict[bytes, int] = {}
    for data in kept:
        frame = parse(data)
        assert frame.first == ends.get(frame.stream, 0), "a gap, or a frame twice"
        assert data == sent(frame.stream, frame.first)[1], "a frame has other bytes"
        ends[frame.stream] = frame.end


def _ends(kept: Iterable[bytes]) -> dict[bytes, int]:
    return {frame.stream: frame.end for frame in map(parse, kept)}
