"""Every damage of a small journal, of a black box and of a cursor: what is touched is lost, and said to be.

    python -m tests.torture.damage --random 200000

The journal has three segments of together less than 4 KiB. Each bit is flipped, each byte replaced, each
file cut at each place, 512 bytes zeroed or overwritten anywhere, and segments are swapped, repeated, emptied
and taken away in every arrangement. Judged each time: nothing raises, no frame is made up, out of order,
doubled or given another ordinal, only frames that were touched are missing, and a reader that misses one was
told of it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from exptrack_daemon.journal.cursor import Cursor, load_cursor, save_cursor
from exptrack_daemon.journal.position import START
from exptrack_daemon.journal.reader import JournalReader, read_header, segment_numbers, segment_path
from exptrack_daemon.journal.segment import FrameRecord, Mark, Record, interpret, salt_of, scan
from tests.support.journals import (
    DIRECTORY,
    RUN,
    append,
    commit,
    open_frame,
    open_journal,
    read_found,
    rows_frame,
)
from tests.support.memory_files import RUNS, SECTOR, MemoryFiles
from tests.torture.box_damage import BOX_KINDS

CURSOR = RUNS / RUN / "sinks" / "one.json"


def small_journal(segments: int = 3, segment_bytes: int = 1_200) -> MemoryFiles:
    """Three segments of together less than 4 KiB, the newest with a committed tail; or larger ones."""
    files = MemoryFiles()
    journal = open_journal(files, segment_bytes=segment_bytes)
    commit(journal, open_frame())
    frames = 7 * segments * max(1, segment_bytes // 1_200)
    for sequence in range(1, frames + 1):
        append(journal, rows_frame(sequence, pad=sequence * 37 % 90))
        if sequence % 3 == 0:
            journal.commit()
    journal.close()
    return files


class Whole:
    """The journal as it was, and where its frames stand."""

    def __init__(self, files: MemoryFiles) -> None:
        self.frames = [bytes(found.frame) for found in read_found(files)[0]]
        self.segments = [
            files.read(DIRECTORY / name) for name in files.names(DIRECTORY) if name.endswith(".seg")
        ]
        self.newest = len(self.segments)
        self.index = {frame: number for number, frame in enumerate(self.frames)}
        self.places = {
            number: list(_places(number, data)) for number, data in enumerate(self.segments, 1)
        }
        self.marks = {
            number: list(_marks(number, data)) for number, data in enumerate(self.segments, 1)
        }

    def touched(self, number: int, start: int, end: int) -> set[bytes]:
        """Frames that stand, in part, between two offsets of a segment."""
        return {f for begin, stop, f in self.places[number] if begin < end and start < stop}

    def unmarked(self, number: int, start: int, end: int) -> set[bytes]:
        """Frames of the newest segment that count only by marks between two offsets, which may be gone.

        A live reader waits for them; the next start of the daemon brings them back.
        """
        return self.after_marks(number, start, end) if number == self.newest else set()

    def after_marks(self, number: int, start: int, end: int) -> set[bytes]:
        """Frames of a segment after the last mark that stands outside of two offsets."""
        sure = [place for place, stop in self.marks[number] if stop <= start or place >= end]
        last = max(sure, default=0)
        return {frame for begin, _, frame in self.places[number] if begin >= last}


def _marks(number: int, data: bytes) -> Iterator[tuple[int, int]]:
    for found in scan(data, 0, salt_of(RUN, number)):
        if isinstance(found, Record) and isinstance(interpret(found.payload), Mark):
            yield found.offset, found.end


def _places(number: int, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    for found in scan(data, 0, salt_of(RUN, number)):
        assert isinstance(found, Record)
        meaning = interpret(found.payload)
        if isinstance(meaning, FrameRecord):
            yield found.offset, found.end, bytes(meaning.frame)


class Frozen(MemoryFiles):
    """A journal's folder that is only read."""

    def __init__(self, segments: dict[int, bytes]) -> None:
        self.bytes = {segment_path(DIRECTORY, n): data for n, data in segments.items()}
        self._names = [path.name for path in self.bytes]

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        if path not in self.bytes:
            raise FileNotFoundError(path)
        data = self.bytes[path]
        return data[offset:] if size < 0 else data[offset : offset + size]

    def names(self, directory: Path) -> list[str]:
        return self._names if directory == DIRECTORY else []

    def thawed(self) -> MemoryFiles:
        files = MemoryFiles()
        files.make_directory(DIRECTORY)
        for path, data in self.bytes.items():
            files.open_append(path).append(data)
        return files


class Judge:
    """Reads a damaged journal and says what is wrong with what came out."""

    def __init__(self, whole: Whole) -> None:
        self.whole = whole

    def read(self, files: MemoryFiles, may_miss: set[bytes], *, may_be_silent: set[bytes]) -> None:
        """All but `may_miss` is read; of those, the ones that may go unsaid are `may_be_silent`."""
        found, flaws, _ = read_found(files)
        index = self.whole.index
        records = [index.get(bytes(item.frame), -1) for item in found]
        assert records == [item.start.record for item in found], "made up, or another ordinal"
        assert all(a < b for a, b in itertools.pairwise(records)), "out of order or twice"
        missing = set(self.whole.frames) - {self.whole.frames[n] for n in records}
        assert missing <= may_miss, "more is lost than was touched"
        assert flaws or missing <= may_be_silent, "lost in silence"
        if missing and self.lacks_header(files):
            assert flaws, "a newest segment without its header was not mentioned"

    def lacks_header(self, files: MemoryFiles) -> bool:
        """Whether the newest segment stands there with bytes that are no header."""
        number = max(segment_numbers(files, DIRECTORY), default=0)
        return number > 0 and read_header(files, DIRECTORY, RUN, number) is None

    def area(self, number: int, start: int, data: bytes, *, reopen: bool = False) -> None:
        """Judge segment `number` with `data` written over it at `start`."""
        whole = self.whole
        old = whole.segments[number - 1]
        end = min(start + len(data), len(old))
        new = old[:start] + data[: end - start] + old[end:]
        files = self.frozen(number, new)
        touched = whole.touched(number, start, end)
        unmarked = whole.unmarked(number, start, end)
        self.read(files, touched | unmarked, may_be_silent=unmarked)
        if reopen:
            self.reopened(files, touched | (unmarked if touched or end - start > 1 else set()))

    def cut(self, number: int, size: int) -> None:
        """Judge segment `number` cut off at `size`."""
        whole = self.whole
        end = len(whole.segments[number - 1])
        files = self.frozen(number, whole.segments[number - 1][:size])
        touched = whole.touched(number, size, end)
        unmarked = whole.unmarked(number, size, end)
        self.read(files, touched | unmarked, may_be_silent=touched | unmarked)
        if number != whole.newest:
            self.read(files, touched, may_be_silent=set())
        self.reopened(files, touched)

    def reopened(self, files: Frozen, may_miss: set[bytes]) -> None:
        """The daemon starts on it: what is there stays, and the journal goes on."""
        live = files.thawed()
        journal = open_journal(live)
        self.read(live, may_miss, may_be_silent=may_miss)
        before = len(read_found(live)[0])
        fresh = rows_frame(max((end.next for end in journal.streams.values()), default=0), pad=500)
        commit(journal, fresh)
        found = read_found(live)[0]
        assert bytes(found[-1].frame) == fresh, "the journal does not go on"
        assert len(found) == before + 1

    def frozen(self, number: int, data: bytes) -> Frozen:
        segments = dict(enumerate(self.whole.segments, 1))
        return Frozen(segments | {number: data})


# --- kinds of damage: each yields once a damage ---------------------------------------------------


def flips(judge: Judge) -> Iterator[None]:
    """Every bit; at each seventeenth the daemon also starts on it."""
    for number, data in enumerate(judge.whole.segments, 1):
        for bit in range(len(data) * 8):
            flipped = bytes((data[bit // 8] ^ 1 << bit % 8,))
            judge.area(number, bit // 8, flipped, reopen=bit % 17 == 0)
            yield


def bytes_replaced(judge: Judge) -> Iterator[None]:
    """Every byte by each of some others."""
    for number, data in enumerate(judge.whole.segments, 1):
        for place in range(len(data)):
            for value in {0, 0xFF, (data[place] + 1) % 256, (data[place] * 31 + 7) % 256}:
                if value != data[place]:
                    judge.area(number, place, bytes((value,)))
                    yield


def cuts(judge: Judge) -> Iterator[None]:
    """Every truncation, each with the daemon's start on it."""
    for number, data in enumerate(judge.whole.segments, 1):
        for size in range(len(data)):
            judge.cut(number, size)
            yield


def sectors(judge: Judge) -> Iterator[None]:
    """Every 512 bytes, at every place, zeroed, of junk, or a copy of another sector."""
    for number, data in enumerate(judge.whole.segments, 1):
        for start in range(0, len(data), 8):
            for junk in (bytes(SECTOR), Random(start).randbytes(SECTOR), data[:SECTOR]):
                judge.area(number, start, junk, reopen=start % SECTOR == 0)
                yield


def arrangements(judge: Judge) -> Iterator[None]:
    """Under each of four names any segment, an empty file, one of another run, or nothing."""
    whole = judge.whole
    other = b"".join([whole.segments[0][:9], bytes(4), whole.segments[0][13:]])
    pool: list[bytes | None] = [*whole.segments, b"", other, None]
    for chosen in itertools.product(pool, repeat=4):
        names = {number: data for number, data in enumerate(chosen, 1) if data is not None}
        right = {
            number for number, data in enumerate(whole.segments, 1) if names.get(number) == data
        }
        lost = {f for n, places in whole.places.items() if n not in right for *_, f in places}
        newest = {f for *_, f in whole.places[whole.newest]} if whole.newest not in right else set()
        after = max(
            right, default=0
        )  # nothing after the last good segment tells that there was more
        untold = {f for n, places in whole.places.items() if n > after for *_, f in places}
        files = Frozen(names)
        judge.read(files, lost, may_be_silent=newest | untold)
        yield


def at_random(judge: Judge, count: int, seed: int = 1) -> Iterator[None]:
    """Several damages at once: areas of any size, anywhere."""
    random = Random(seed)
    whole = judge.whole
    for _ in range(count):
        segments = {n: bytearray(data) for n, data in enumerate(whole.segments, 1)}
        may_miss: set[bytes] = set()
        for _ in range(random.randint(1, 4)):
            number = random.randint(1, whole.newest)
            data = segments[number]
            size = random.choice((1, 1, 3, 40, 600))
            start = random.randrange(len(data))
            end = min(start + size, len(data))
            data[start:end] = random.choice((bytes(end - start), random.randbytes(end - start)))
            may_miss |= whole.touched(number, start, end)
            if any(place < end and start < stop for place, stop in whole.marks[number]):
                # With the next segment's header damaged too, nothing says how far this one counts.
                may_miss |= {frame for *_, frame in whole.places[number]}
        files = Frozen({n: bytes(data) for n, data in segments.items()})
        newest = {frame for *_, frame in whole.places[whole.newest]}
        judge.read(files, may_miss, may_be_silent=newest & may_miss)
        yield


def cursors(judge: Judge) -> Iterator[None]:
    """Every bit and every cut of a cursor; and every older one, which is read on from."""
    files = small_journal()
    reader = JournalReader(files, DIRECTORY, RUN)
    ends = [START, *(found.end for found in reader.read(START, 1 << 20).frames)]
    for end in ends:
        saved = Cursor(end, end.record, end.rows, {"run": {}}, {"kept": end.record})
        save_cursor(files, CURSOR, saved)
        loaded = load_cursor(files, CURSOR)
        frames = [bytes(found.frame) for found in read_found(files, loaded.position)[0]]
        assert frames == judge.whole.frames[end.record :], "an older cursor reads something else"
        yield
    data, whole = files.read(CURSOR), load_cursor(files, CURSOR)
    hurt = [data[:size] for size in range(len(data))]
    hurt += [
        data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]
        for bit in range(len(data) * 8)
    ]
    for copy in hurt:
        files.seen[CURSOR].data[:] = copy
        assert load_cursor(files, CURSOR) in (whole, Cursor()), "a damaged cursor was believed"
        yield


KINDS: tuple[Callable[[Judge], Iterator[None]], ...] = (
    flips,
    bytes_replaced,
    cuts,
    sectors,
    arrangements,
    cursors,
    *BOX_KINDS,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.damage", description=__doc__)
    parser.add_argument("--random", type=int, default=20_000, help="so many damages at random")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    judge = Judge(Whole(small_journal()))
    total = 0
    for kind in (*KINDS, lambda judge: at_random(judge, asked.random, asked.seed)):
        began = time.monotonic()
        count = sum(1 for _ in kind(judge))
        total += count
        name = getattr(kind, "__name__", "").replace("<lambda>", "at_random")
        print(f"{name}: {count} damages, all well, in {time.monotonic() - began:.0f} s")
    print(f"{total} damages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
