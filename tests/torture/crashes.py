"""Seeded histories of the production journal, reader and cursors on a file system that crashes and fails.

    python -m tests.torture.crashes --seed 7             one history, told act by act
    python -m tests.torture.crashes --count 200000       many, in as many processes as there are cores

One history: a writer takes frames of a few streams, commits and rotates; sinks read on from their cursors;
in between processes are killed, the power is cut, and calls fail. The judge knows what was promised: whatever
happened, every promised frame is read exactly once, in its stream's order, byte for byte, by everybody; what
a reader has seen once never changes; and after the faults end a fresh frame flows.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from random import Random

from exptrack_daemon.journal.cursor import Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.writer import Journal, StreamEnd
from exptrack_proto.frame import Frame, parse
from tests.support.journals import DIRECTORY, RUN, open_journal, rows_frame
from tests.support.memory_files import RUNS, Failure, MemoryFiles

STREAMS = tuple(bytes([65 + number]) * 16 for number in range(3))
ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE, errno.EROFS)
WEIGHTS = {
    "append": 14,
    "commit": 6,
    "deliver": 6,
    "fail": 2,
    "kill": 2,
    "cut_power": 3,
    "restart": 1,
    "restart_sinks": 1,
}
ACTS, CHANCES = tuple(WEIGHTS), tuple(WEIGHTS.values())


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

    def start(self, files: MemoryFiles) -> None:
        """A new worker: go on from the cursor, which must not be ahead of what is kept."""
        self.cursor = load_cursor(files, path_of(self.name))
        counted = self.cursor.state["kept"] if self.cursor.state else 0
        assert counted <= len(self.kept), f"{self.name}: the cursor is ahead of the destination"
        assert counted == self.cursor.delivered == self.cursor.position.record
        del self.kept[counted:]
        self.reader = JournalReader(files, DIRECTORY, RUN)

    def deliver(self, files: MemoryFiles) -> None:
        """One round of a worker: read, write, move the cursor."""
        if self.reader is None:
            self.start(files)
        self._read()
        save_cursor(files, path_of(self.name), self.cursor)

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


class History:
    """One seed's history; `told` is what happened."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.files = MemoryFiles()
        self.segment_bytes = self.random.choice((1_500, 6_000, 20_000, 1 << 20))
        self.streams = STREAMS[: self.random.randint(1, 3)]
        self.promised: dict[bytes, int] = {}
        self.places = [
            Place("one"),
            Place("two", max_bytes=self.random.choice((1, 700, 1 << 20, 1 << 20, 1 << 20))),
        ]
        self.journal: Journal | None = None
        self.told: list[str] = []
        self.crashes = 0

    def run(self) -> History:
        """Live through it, then judge."""
        for act in self.random.choices(ACTS, CHANCES, k=self.random.randint(5, 50)):
            self.told.append(act)
            try:
                getattr(self, act)()
            except OSError as error:
                self.told.append(f"  {error.strerror}")
            self._learn()
        self.judge()
        return self

    # --- acts -----------------------------------------------------------------------------------

    def append(self) -> None:
        journal = self._open()
        for _ in range(self.random.randint(1, 6)):
            stream = self.random.choice(self.streams)
            frame, data = sent(stream, journal.streams.get(stream, StreamEnd()).next)
            journal.append(frame, data)

    def commit(self) -> None:
        self._open().commit()

    def deliver(self) -> None:
        """Sinks read what is durable, and nothing else."""
        place = self.random.choice(self.places)
        try:
            place.deliver(self.files)
        except OSError:
            place.reader = None
            raise
        self._check_order(place.kept)

    def fail(self) -> None:
        """One of the next calls fails, or a few of them do, or all for a while."""
        begin = len(self.files.trace) + self.random.randrange(12)
        error = self.random.choice(ERRORS)
        for number in range(begin, begin + self.random.choice((1, 1, 2, 30))):
            self.files.faults[number] = Failure(error, part=self.random.random())

    def kill(self) -> None:
        """SIGKILL of everybody, perhaps in the middle of a call."""
        self._end_within()
        self.files = self.files.kill()
        self._begin_again()

    def cut_power(self) -> None:
        """Perhaps in the middle of a call; in the machine's next life there are no faults to come."""
        self._end_within()
        self.crashes += 1
        self.files = self.files.crash(self.random)
        self._begin_again()

    def restart(self) -> None:
        """The daemon stops in order and starts again; a disk that fails may keep it from either."""
        journal, self.journal = self.journal, None
        if journal is not None:
            journal.close()

    def restart_sinks(self) -> None:
        for place in self.places:
            place.reader = None

    # --- inside ---------------------------------------------------------------------------------

    def _open(self) -> Journal:
        if self.journal is None:
            self.journal = open_journal(self.files, segment_bytes=self.segment_bytes)
            self._learn()
        return self.journal

    def _end_within(self) -> None:
        """Sometimes the end comes in the middle of writing rather than between two acts."""
        if self.random.random() < 0.5:
            return
        self.files.stop_before(len(self.files.log) + self.random.randrange(8), self.random.random())
        try:
            for act in (self.append, self.commit, self.deliver, self.append, self.commit):
                act()
                self._learn()
        except OSError:
            return
        except BaseException as stopped:
            if type(stopped).__name__ != "Stopped":
                raise
            self.told.append(f"  within {self.files.log[-1:]}")

    def _begin_again(self) -> None:
        self.journal = None
        self.restart_sinks()

    def _learn(self) -> None:
        """What was durable once stays so."""
        if self.journal is None:
            return
        for stream, end in self.journal.durable.items():
            assert end >= self.promised.get(stream, 0), "a promise was taken back"
            self.promised[stream] = end
        for stream, end in self.promised.items():
            assert self.journal.durable.get(stream, 0) >= end, "a promise was taken back"

    # --- the judge ------------------------------------------------------------------------------

    def judge(self) -> None:
        """Faults end; a fresh frame flows; every promise was kept, exactly once, to everybody."""
        self.files.faults.clear()
        self.journal = None
        self._open()
        for stream in self.streams:
            frame, data = sent(stream, self._next(stream))
            self._open().append(frame, data)
        self._open().commit()
        self._learn()
        for place in self.places:
            seen = list(place.kept)
            place.catch_up(self.files)
            assert place.kept[: len(seen)] == seen, f"{place.name}: what was read has changed"
            self._check_order(place.kept)
            ends = {stream: self._next(stream) for stream in self.streams}
            assert _ends(place.kept) == ends == self.promised, f"{place.name}: a promise is missing"
        assert self.places[0].kept == self.places[1].kept, "two readers disagree"

    def _next(self, stream: bytes) -> int:
        return self._open().streams.get(stream, StreamEnd()).next

    def _check_order(self, kept: Iterable[bytes]) -> None:
        """Each stream's frames follow one another without a gap or a repetition, byte for byte."""
        ends: dict[bytes, int] = {}
        for data in kept:
            frame = parse(data)
            assert frame.first == ends.get(frame.stream, 0), "a gap, or a frame twice"
            assert data == sent(frame.stream, frame.first)[1], "a frame has other bytes"
            ends[frame.stream] = frame.end


def _ends(kept: Iterable[bytes]) -> dict[bytes, int]:
    return {frame.stream: frame.end for frame in map(parse, kept)}


@dataclass
class Tally:
    """What many histories came to."""

    histories: int = 0
    crashes: int = 0
    acts: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.histories += other.histories
        self.crashes += other.crashes
        self.acts += other.acts
        self.failures += other.failures


def run_many(seeds: Iterable[int], until: float = float("inf")) -> Tally:
    """Histories one after another, until `until` (monotonic seconds) at most; stops at the third failure."""
    tally = Tally()
    for seed in seeds:
        history = History(seed)
        try:
            history.run()
        except Exception as error:
            tally.failures.append(f"seed {seed}: {type(error).__name__}: {error}")
        tally.histories += 1
        tally.crashes += history.crashes
        tally.acts += len(history.told)
        if len(tally.failures) == 3 or time.monotonic() > until:
            break
    return tally


def _pieces(first: int, count: int, size: int = 500) -> Iterator[range]:
    for start in range(first, first + count, size):
        yield range(start, min(start + size, first + count))


def run_in_processes(first: int, count: int, processes: int, seconds: float) -> Tally:
    total = Tally()
    until = time.monotonic() + seconds
    pieces = list(_pieces(first, count))
    with ProcessPoolExecutor(processes) as pool:
        for tally in pool.map(run_many, pieces, repeat(until)):
            total.add(tally)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.crashes", description=__doc__)
    parser.add_argument("--seed", type=int, help="one history, told act by act")
    parser.add_argument("--first", type=int, default=0, help="the first seed of many")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    asked = parser.parse_args()
    if asked.seed is not None:
        return tell(asked.seed)
    began = time.monotonic()
    total = run_in_processes(asked.first, asked.count, asked.processes, asked.seconds)
    took = time.monotonic() - began
    print(
        f"{total.histories} histories, {total.acts} acts, {total.crashes} power cuts in {took:.0f} s"
        f" ({total.histories / took:.0f} a second): {len(total.failures)} failures"
    )
    print(*total.failures, sep="\n")
    return bool(total.failures)


def tell(seed: int) -> int:
    history = History(seed)
    try:
        history.run()
    except Exception:
        print(*history.told, sep="\n")
        raise
    print(*history.told, sep="\n")
    print(f"seed {seed}: all is well; promised {sum(history.promised.values())} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
