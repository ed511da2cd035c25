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
from itertools import repeat
from random import Random

from tests.support.memory_files import Failure, Stopped
from tests.torture.world import STREAMS, World

ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE, errno.EROFS)
WEIGHTS = {
    "append": 14,
    "commit": 6,
    "deliver": 6,
    "fail": 2,
    "kill": 2,
    "cut_power": 3,
    "kill_and_cut": 1,
    "restart": 1,
    "restart_sinks": 1,
}
ACTS, CHANCES = tuple(WEIGHTS), tuple(WEIGHTS.values())


class History(World):
    """One seed's history; `told` is what happened."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        super().__init__(
            self.random.choice((1_500, 6_000, 20_000, 1 << 20)),
            STREAMS[: self.random.randint(1, 3)],
        )
        self.places[1].max_bytes = self.random.choice((1, 700, 1 << 20, 1 << 20, 1 << 20))
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
            self.learn()
        self.judge()
        return self

    # --- acts -----------------------------------------------------------------------------------

    def append(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            self.append_next(self.random.choice(self.streams))

    def deliver(self) -> None:
        self.deliver_to(self.random.choice(self.places))

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
        self.begin_again()

    def cut_power(self) -> None:
        """Perhaps in the middle of a call; in the machine's next life there are no faults to come."""
        self._end_within()
        self.crashes += 1
        self.files = self.files.crash(self.random)
        self.begin_again()

    def kill_and_cut(self) -> None:
        """What the killed process left half done is trusted by the next one, and then the power is cut."""
        self.kill()
        try:
            for act in self.random.choices((self.append, self.commit, self.deliver), k=2):
                act()
                self.learn()
        finally:
            self.cut_power()

    def restart(self) -> None:
        """The daemon stops in order and starts again; a disk that fails may keep it from either."""
        journal, self.journal = self.journal, None
        if journal is not None:
            journal.close()

    def restart_sinks(self) -> None:
        for place in self.places:
            place.reader = None

    # --- inside ---------------------------------------------------------------------------------

    def _end_within(self) -> None:
        """Sometimes the end comes in the middle of writing rather than between two acts."""
        if self.random.random() < 0.5:
            return
        self.files.stop_before(len(self.files.log) + self.random.randrange(8), self.random.random())
        try:
            for act in (self.append, self.commit, self.deliver, self.append, self.commit):
                act()
                self.learn()
        except OSError:
            return
        except Stopped:
            self.told.append(f"  within {self.files.log[-1:]}")


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
