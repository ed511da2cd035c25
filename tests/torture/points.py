"""One workload; the process ends, or the disk fails, at every single call that it makes.

    python -m tests.torture.points --records 200 --pairs

The workload writes records, commits, rotates segments, starts again in the middle, and delivers to two sinks
that keep cursors. `every_stop`: the process ends before each call that changes something (and in the middle
of each append), and the machine loses as little, as much, or as oddly as it may. `every_fault`: each call,
those that only look included, fails with each error. `every_pair`: it ends once more in what follows.
"""

from __future__ import annotations

import argparse
import copy
import errno
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

from tests.support.memory_files import BytesOnly, Failure, Least, Luck, Most, NamesOnly, Stopped
from tests.torture.world import World

ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE, errno.EROFS)
PARTS = (0.0, 0.5, 0.99)
"""How much of an append is done when it fails or the process ends."""
_TRIES = 20
LUCKS: tuple[Callable[[int], Luck], ...] = (
    lambda _: Least(),
    lambda _: Most(),
    lambda _: NamesOnly(),
    lambda _: BytesOnly(),
    Random,
)


class Workload(World):
    """A fixed sequence of acts; one that fails is done again, as trainers and workers do."""

    def __init__(self, records: int, segment_bytes: int = 4_000) -> None:
        super().__init__(segment_bytes)
        self.records = records

    def run(self) -> Workload:
        for number in range(self.records):
            self._insist(lambda n=number: self.append_next(self.streams[n % len(self.streams)]))
            if number % 4 == 3:
                self._insist(self.commit)
            if number % 6 == 5:
                self._insist(lambda n=number: self.deliver_to(self.places[n % 2]))
            if number == self.records // 2:
                self.begin_again()
        return self

    def _insist(self, act: Callable[[], None]) -> None:
        for _ in range(_TRIES):
            try:
                act()
                break
            except OSError:
                self.learn()
        else:
            raise AssertionError("one fault, and it never worked again")
        self.learn()

    def after(self, luck: Luck | None) -> Workload:
        """The same world after the power came back; None: after SIGKILL."""
        files = self.files.kill() if luck is None else self.files.crash(luck)
        again = copy.copy(self)
        again.files = files
        again.promised = dict(self.promised)
        again.places = [copy.copy(place) for place in self.places]
        for place in again.places:
            place.kept = list(place.kept)
        again.begin_again()
        return again


def calls_of(records: int) -> tuple[list[str], list[str]]:
    """What the workload does when nothing is wrong: calls that change something, and all calls."""
    world = Workload(records).run()
    log, trace = list(world.files.log), list(world.files.trace)
    world.judge()
    return log, trace


def stopped_at(records: int, number: int, part: float) -> Workload:
    """The workload up to the call of that number."""
    world = Workload(records)
    world.files.stop_before(number, part)
    try:
        world.run()
    except Stopped:
        return world
    raise AssertionError(f"call {number} did not happen")


def every_stop(records: int) -> Iterator[str]:
    """Yields what was judged, one line a state of the disk after an end."""
    log, _ = calls_of(records)
    for number, act in enumerate(log):
        for part in PARTS if act == "append" else (0.0,):
            world = stopped_at(records, number, part)
            for luck in (*LUCKS, None):
                world.after(luck(number) if luck is not None else None).judge()
                yield f"{act} {number}"


def every_pair(records: int, step: int = 1) -> Iterator[str]:
    """The power is cut, and cut again at each call of the starting again and what comes then."""
    log, _ = calls_of(records)
    for number in range(0, len(log), step):
        first = stopped_at(records, number, 0.5)
        for luck in LUCKS:
            whole = first.after(luck(number))
            whole.judge()
            for second in range(len(whole.files.log)):
                world = first.after(luck(number))
                world.files.stop_before(second, 0.5)
                try:
                    world.judge()
                except Stopped:
                    world.after(LUCKS[second % len(LUCKS)](second)).judge()
                yield f"{number} and {second}"


def every_fault(records: int) -> Iterator[str]:
    """Each call fails once with each error; what was promised stands, and the work goes on."""
    _, trace = calls_of(records)
    for number, act in enumerate(trace):
        for error in ERRORS:
            for part in PARTS if act == "append" else (0.0,):
                world = Workload(records)
                world.files.faults[number] = Failure(error, part)
                world.run()
                for luck in (Random(number), None):
                    world.after(luck).judge()
                yield f"{act} {number} {errno.errorcode[error]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.points", description=__doc__)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument(
        "--pairs", action="store_true", help="also every two ends, one after another"
    )
    asked = parser.parse_args()
    kinds = [every_stop, every_fault] + [every_pair] * asked.pairs
    for kind in kinds:
        began, last, count = time.monotonic(), "", 0
        try:
            for state in kind(asked.records):
                last, count = state, count + 1
        except Exception:
            print(f"{kind.__name__}: after {count}, the last that was well being: {last}")
            raise
        print(f"{kind.__name__}: {count} states, all well, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
