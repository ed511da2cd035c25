"""Whatever a run logs, however it is delivered and wherever the sink is killed: readers see the journal."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Row
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.homes import START_NS, HomeBuilder, RunBuilder
from tests.support.store_answers import Window, check_answers
from tests.support.stores import SMALL, deliver, part_files, store_lane

NAMES = ("loss", "acc", "näme")
WINDOWS: list[Window] = [
    *(("step", 0, 900, width) for width in (1, 64, 256)),
    *(("step", 130, 500, width) for width in (128, 1024)),
    *(("time", START_NS, START_NS + 3000, width) for width in (64, 512)),
]
nan, inf = float("nan"), float("inf")
values = st.one_of(
    st.floats(-1e6, 1e6),
    st.sampled_from([nan, inf, -inf, 0, True, False, None, "text", "", 2**53 + 1, -(2**63), 2**53]),
)
logged = st.tuples(
    st.integers(0, 900), st.integers(0, 3000), st.dictionaries(st.sampled_from(NAMES), values)
)
acts = st.one_of(
    st.tuples(
        st.just("open"), st.integers(0, 1), st.sampled_from(["trainer", "trainer", "sampler"])
    ),
    st.tuples(st.just("rows"), st.integers(0, 5), st.lists(logged, min_size=1, max_size=25)),
    st.tuples(st.just("close"), st.integers(0, 5), st.none()),
    st.tuples(st.just("deliver"), st.booleans(), st.integers(100, 900)),
)


class _Life:
    """Plays acts: a run's journal, and now and then a delivery, ended by a kill or by a stop."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.run: RunBuilder = HomeBuilder(home).run("r")
        self._streams = [self.run.stream()]
        self._clock = FakeClock()

    def play(self, act: tuple[Any, Any, Any]) -> None:
        kind, which, what = act
        if kind == "open":
            self._streams.append(self.run.stream(rank=which, role=what))
        elif kind == "deliver":
            lane = store_lane(self.home, "r", self._clock, batch_bytes=what)
            drive(lane, self._clock, 5.0)
            if which:
                lane.close()
        elif which < len(self._streams):
            stream = self._streams[which]
            if kind == "close":
                stream.close()
            else:
                stream.rows(*(Row(step, START_NS + ns, found) for step, ns, found in what))


@pytest.mark.timeout(120)
@settings(max_examples=60, deadline=None)
@given(st.lists(acts, max_size=14))
def test_readers_see_the_journal_whatever_was_delivered(life: list[tuple[Any, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        played = _Life(Path(folder))
        reader = open_home(folder)
        for act in life:
            played.play(act)
            if act[0] == "deliver":
                check_answers(reader, NAMES, WINDOWS)
        check_answers(reader, NAMES, WINDOWS)
        check_answers(open_home(folder), NAMES, WINDOWS)
        played.run.close()


@pytest.mark.timeout(120)
@settings(max_examples=30, deadline=None)
@given(st.lists(acts, max_size=14), st.integers(100, 900))
def test_the_parts_are_a_function_of_the_journal(
    life: list[tuple[Any, Any, Any]], batch_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        played = _Life(Path(folder))
        for act in life:
            played.play(act)
        played.run.close()
        deliver(Path(folder), "r")
        journal = Path("runs", "r", "journal")
        shutil.copytree(Path(folder) / journal, Path(other) / journal)
        deliver(Path(other), "r", sizes=SMALL, batch_bytes=batch_bytes)
        if (Path(folder) / "runs" / "r" / "series").exists():
            assert part_files(Path(other), "r") == part_files(Path(folder), "r")
