"""The store's sink under the real delivery loop: killed at every call, on a full disk, resumed, replayed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from exptrack_daemon.errors import ConfigInvalid, SinkBroken
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.base import SinkContext
from exptrack_daemon.sinks.store import open_sink
from exptrack_daemon.store.manifest import Manifest
from exptrack_daemon.store.reader import open_home
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.faulty_files import FaultyFiles
from tests.support.homes import HomeBuilder, RunBuilder
from tests.support.stores import Killed, KilledFiles, deliver, part_files, store_lane

RUN = RunInfo("r", "p", "r", 1)


def logged(home: Path, rows: int = 24) -> RunBuilder:
    """A run of one trainer that was resumed from the middle: two attempts, both closed."""
    run = HomeBuilder(home).run("r")
    for first in (0, rows // 2):
        trainer = run.stream()
        for step in range(first, rows):
            trainer.log({"loss": 1.0 / (step + 1), "note": "x" if step % 7 == 0 else step}, step)
        trainer.close()
    return run


def seen(home: Path) -> tuple[object, ...]:
    reader = open_home(home)
    points = [
        (chunk.keys[series], chunk.scalar(at))
        for chunk in reader.columns("r", system=True)
        for at, series in enumerate(chunk.series)
    ]
    assert reader.notices == []
    return reader.metrics("r"), points


@pytest.mark.timeout(120)
def test_killed_at_any_call_it_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    original = tmp_path / "original"
    logged(original).close()
    expected = seen(original)
    deliver(original, "r", batch_bytes=600)
    files = part_files(original, "r")
    assert {name.split(".")[1] for name in files} == {"parquet", "cells"}
    calls, was_killed = 0, True
    while was_killed:
        home = tmp_path / str(calls)
        shutil.copytree(original, home, ignore=shutil.ignore_patterns("series", "sinks"))
        was_killed = kill_after(home, calls)
        if was_killed:
            assert seen(home) == expected, calls
        deliver(home, "r", batch_bytes=700)
        assert named_files(home) == files, calls
        shutil.rmtree(home)
        calls += 7  # what a write and a cursor need are five each, so every call has its turn
    assert calls > 150


def named_files(home: Path) -> dict[str, bytes]:
    """What the manifest names: a kill may leave parts that were merged, until the run is opened again."""
    cursor = open_home(home).cursor("r", "store")
    assert cursor is not None
    assert cursor.state is not None
    named = {file for part in Manifest.load(cursor.state).parts for file in part.files}
    return {name: data for name, data in part_files(home, "r").items() if name in named}


def kill_after(home: Path, calls: int) -> bool:
    clock = FakeClock()
    try:
        drive(store_lane(home, "r", clock, files=KilledFiles(calls), batch_bytes=600), clock, 20.0)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("act", ["append", "sync"])
@pytest.mark.parametrize("before", [0, 2, 5])
def test_on_a_full_disk_it_waits_and_then_goes_on(tmp_path: Path, act: str, before: int) -> None:
    logged(tmp_path).close()
    files, clock = FaultyFiles(), FakeClock()
    lane = store_lane(tmp_path, "r", clock, files=files, batch_bytes=400)
    for _ in range(before):
        lane.step(clock.seconds)
        clock.advance(1.0)
    files.fail_next(*[act] * 3)
    drive(lane, clock, 60.0)
    assert lane.cursor.status == "live"
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "runs" / "r" / "journal", other / "runs" / "r" / "journal")
    deliver(other, "r")
    assert part_files(tmp_path, "r") == part_files(other, "r")


def test_nothing_that_no_manifest_names_stays(tmp_path: Path) -> None:
    logged(tmp_path).close()
    lane = deliver(tmp_path, "r")
    assert lane.cursor.state is not None
    parts = lane.cursor.state["parts"]
    assert len(part_files(tmp_path, "r")) == sum(1 + (level > 0) for _, _, level in parts)


def test_nothing_of_a_finished_run_is_read_from_its_journal_again(tmp_path: Path) -> None:
    run = logged(tmp_path)
    state = deliver(tmp_path, "r").cursor.state
    assert state is not None
    assert state["position"] == state["end"]
    expected = seen(tmp_path)
    again = run.stream()  # resumed: from there on
    again.log({"loss": 5.0}, 3)
    deliver(tmp_path, "r")
    again.log({"loss": 6.0}, 4)
    reader = open_home(tmp_path)
    assert reader.series("r", ["loss"])["loss"].values.tolist()[-2:] == [5.0, 6.0]
    assert len(seen(tmp_path)[1]) == len(expected[1]) + 2  # type: ignore[arg-type]
    again.close()
    run.close()
    deliver(tmp_path, "r")
    assert len(seen(tmp_path)[1]) == len(expected[1]) + 2  # type: ignore[arg-type]


def test_a_replay_begins_anew_and_ends_the_same(tmp_path: Path) -> None:
    logged(tmp_path).close()
    deliver(tmp_path, "r")
    before = part_files(tmp_path, "r")
    Home(tmp_path).cursor("r", "store").unlink()
    deliver(tmp_path, "r", batch_bytes=300)
    assert part_files(tmp_path, "r") == before


def test_a_short_run_is_one_part_with_its_cells(tmp_path: Path) -> None:
    HomeBuilder(tmp_path).finished_run("r", rows=2)
    deliver(tmp_path, "r")
    assert list(part_files(tmp_path, "r")) == [
        "000000000000000-000000000000004.cells",
        "000000000000000-000000000000004.parquet",
    ]


def test_what_it_cannot_work_with_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(settings: dict[str, object], saved: dict[str, object] | None = None) -> object:
        home = Home(tmp_path)
        context = SinkContext(home, home.run("r"), settings, FakeClock(), lambda _pid: None)
        return open_sink(RUN, context, saved)

    with pytest.raises(ConfigInvalid, match=r"\[sinks.store\] has no setting 'level'"):
        opened({"level": 3})
    with pytest.raises(SinkBroken, match="newer exptrack"):
        opened({}, {"version": 99})
    with pytest.raises(SinkBroken, match="exptrack replay r --to store"):
        opened({}, {"version": 1})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SinkBroken, match=r"needs pyarrow: pip install 'exptrack\[daemon\]'"):
        opened({})
