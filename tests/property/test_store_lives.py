"""Long lives of small stores: resumes, rewinds, ties, merges, and kills in the middle of a call.

Everything that a store does to many points happens here to few: cells of four points, parts of six. Each
value that is logged is another, so that whatever is left out, twice, or in the wrong place shows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from exptrack_daemon.store import pyramid
from exptrack_daemon.store.parts import DiskPart
from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Row
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.homes import START_NS, HomeBuilder, StreamBuilder
from tests.support.store_answers import Window, check_answers
from tests.support.stores import Killed, KilledFiles, UnsyncedFiles, store_lane

NAMES = ("loss", "acc", "sparse")
ODD = (float("nan"), float("inf"), float("-inf"), None, "text", True, 2**60 + 1)
WEIGHTS = {"rows": 12, "rewind": 1, "resume": 2, "rank": 1, "sampler": 1, "close": 2, "deliver": 5}


class Life:
    """One seed's life of run `r`; `seen` counts what happened in it."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home, self.dice = home, Random(seed)
        self.seen: Counter[str] = Counter()
        self._run = HomeBuilder(home).run("r")
        self._clock = FakeClock()
        self._stride = self.dice.choice((1, 3, 40))
        self._time_ns, self._values = START_NS, 0
        self._steps: dict[StreamBuilder, int] = {self._run.stream(): 0}
        self._reader = open_home(home)

    def live(self, acts: int) -> None:
        for act in self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=acts):
            getattr(self, act)(self.dice.choice(list(self._steps)))
        self.deliver()
        self.check()
        self._run.close()

    def rows(self, stream: StreamBuilder) -> None:
        """Steps mostly go on, now and then they stay or fall back a little; so do times."""
        rows = []
        for _ in range(self.dice.randint(1, 9)):
            names = self.dice.sample(NAMES, self.dice.choice((1, 2, 2, 3)))
            rows.append(Row(self._steps[stream], self._time_ns, {n: self._value() for n in names}))
            self._steps[stream] += self.dice.choice((0, 1, 1, 2, -1)) * self._stride
            self._steps[stream] = max(0, self._steps[stream])
            self._time_ns += self.dice.choice((0, 1, 5, 60, -20))
        stream.rows(*rows)

    def _value(self) -> object:
        self._values += 1
        sign = self.dice.choice((1.0, -1.0))
        return self.dice.choice(ODD) if self.dice.random() < 0.15 else sign * self._values

    def rewind(self, stream: StreamBuilder) -> None:
        self._steps[stream] = self.dice.randint(0, self._steps[stream])

    def resume(self, stream: StreamBuilder) -> None:
        """A new attempt that logs again what an earlier one had, from somewhere on."""
        last = self._steps[stream]
        again = self.dice.choice((last, last // 2, max(0, last - 3 * self._stride)))
        self._steps[self._run.stream(rank=stream.rank)] = again

    def rank(self, _stream: StreamBuilder) -> None:
        self._steps[self._run.stream(rank=1)] = 0

    def sampler(self, _stream: StreamBuilder) -> None:
        self._steps[self._run.stream(role="sampler")] = 0

    def close(self, stream: StreamBuilder) -> None:
        stream.close()

    def deliver(self, _stream: StreamBuilder | None = None) -> None:
        """By a worker that may be killed within any call, or stop in order; it is asked before and after."""
        calls = self.dice.choice((None, self.dice.randrange(40)))
        files = UnsyncedFiles() if calls is None else KilledFiles(calls)
        try:
            lane = store_lane(
                *(self.home, "r", self._clock), files=files, batch_bytes=self.dice.randint(100, 900)
            )
            drive(lane, self._clock, 5.0)
        except Killed:
            self.seen["kill"] += 1
        self.check()

    def check(self) -> None:
        most = max(self._steps.values()) + 10
        lo, hi = sorted((self.dice.randint(0, most), self.dice.randint(0, most)))
        span_ns = self._time_ns - START_NS + 100
        lo_ns, hi_ns = sorted(START_NS + self.dice.randint(-100, span_ns) for _ in range(2))
        windows: list[Window] = [
            *(("step", 0, most, width) for width in (4, 16, 128)),
            *(("step", lo, hi, width) for width in (2, 32)),
            *(("time", START_NS - 50, START_NS + span_ns, width) for width in (8, 64)),
            ("time", lo_ns, hi_ns, 16),
        ]
        check_answers(self._reader, NAMES, windows)
        check_answers(open_home(self.home), NAMES, windows[:1])
        self._count()

    def _count(self) -> None:
        parts = [part for part in self._reader.parts("r") if isinstance(part, DiskPart)]
        self.seen["merged part"] += sum(part.name.level for part in parts)
        levels = [part.levels(key, "step") for part in parts for key in part.slices]
        self.seen["series of many levels"] += sum(len(found) > 1 for found in levels)
        attempts = {key.attempt for part in parts for key in part.slices if part.name.level}
        self.seen["attempts in merged parts"] += len(attempts) > 1


@pytest.mark.timeout(240)  # computing, not waiting
@pytest.mark.parametrize("part", range(4))
def test_readers_see_the_journal_all_through_a_runs_life(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("CELL_POINTS", 2), ("LEAST_SHIFT", 1), ("LEVEL_SHIFT", 1)):
        monkeypatch.setattr(pyramid, name, small)
    monkeypatch.setattr(pyramid, "_FEW_CELLS", 2)
    seen: Counter[str] = Counter()
    for seed in range(part * 100, part * 100 + 6):
        life = Life(tmp_path / str(seed), seed)
        life.live(life.dice.randint(10, 45))
        seen += life.seen
    assert min(seen[what] for what in ("kill", "merged part", "series of many levels")) > 3
    assert seen["attempts in merged parts"] > 3
