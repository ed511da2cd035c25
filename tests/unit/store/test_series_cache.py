"""A reader that lives long: `exptrack_daemon.store.series_cache` and `exptrack_daemon.store.joining`."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from exptrack_daemon.home import Home
from exptrack_daemon.journal import replay
from exptrack_daemon.store import live, series_cache
from exptrack_daemon.store.reader import open_home
from tests.support.homes import HomeBuilder, RunBuilder
from tests.support.stores import deliver


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    """A run of 20 rows, of which 18 points stand in parts."""
    run = HomeBuilder(tmp_path).run("r")
    trainer = run.stream()
    for step in range(20):
        trainer.log({"loss": float(step)}, step)
    deliver(tmp_path, "r")
    return run


def losses(reader: object) -> list[float]:
    return reader.series("r", ["loss"])["loss"].values.tolist()  # type: ignore[attr-defined, no-any-return]


def test_what_is_in_parts_is_not_read_from_the_journal_again(
    run: RunBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    real = replay.decode
    monkeypatch.setattr(replay, "decode", lambda frame: decoded.append(1) or real(frame))
    reader = open_home(tmp_path)
    assert losses(reader) == [float(step) for step in range(20)]
    first = len(decoded)
    assert losses(reader) == [float(step) for step in range(20)]
    assert len(decoded) == first


def test_parts_that_are_merged_away_are_not_missed(run: RunBuilder, tmp_path: Path) -> None:
    reader = open_home(tmp_path)
    assert len(losses(reader)) == 20
    trainer = run.stream(rank=1)
    for step in range(40):
        trainer.log({"loss": 1.0}, step)
    deliver(tmp_path, "r")
    assert len(losses(reader)) == 20
    assert reader.notices == []


def test_a_damaged_part_is_named_and_the_journal_answers(run: RunBuilder, tmp_path: Path) -> None:
    for path in (Home(tmp_path).run("r") / "series").glob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
        path.write_bytes(data)
    reader = open_home(tmp_path)
    assert losses(reader) == [float(step) for step in range(20)]
    assert losses(reader) == [float(step) for step in range(20)]
    assert len(reader.notices) == 1
    assert "exptrack replay r --to store" in reader.notices[0]


def test_missing_parts_are_named_and_the_journal_answers(run: RunBuilder, tmp_path: Path) -> None:
    for path in (Home(tmp_path).run("r") / "series").glob("*.parquet"):
        path.unlink()
    reader = open_home(tmp_path)
    assert losses(reader) == [float(step) for step in range(20)]
    assert "missing" in reader.notices[0]
    deliver(tmp_path, "r")


def test_a_store_of_a_newer_exptrack_is_passed_over(run: RunBuilder, tmp_path: Path) -> None:
    path = Home(tmp_path).cursor("r", "store")
    cursor = json.loads(path.read_text())
    cursor["state"]["version"] = 99
    path.write_text(json.dumps(cursor))
    reader = open_home(tmp_path)
    assert losses(reader) == [float(step) for step in range(20)]
    assert "newer exptrack" in reader.notices[0]


def test_a_long_journal_without_a_store_is_read_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = HomeBuilder(tmp_path).run("r")
    trainer = run.stream()
    for step in range(20):
        trainer.log({"loss": float(step)}, step)
    monkeypatch.setattr(live.LiveTail.refresh, "__defaults__", (5,))
    reader = open_home(tmp_path)
    assert len(losses(reader)) == 20
    assert [metric.points for metric in reader.metrics("r")] == [20]
    assert reader.cells("r", ["loss"], width=32, lo=0, hi=31)["loss"].count.tolist() == [20]


def test_runs_not_asked_about_for_long_are_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_cache, "_MOST_RUNS", 2)
    home = HomeBuilder(tmp_path)
    for name in ("a", "b", "c"):
        home.finished_run(name)
    reader = open_home(tmp_path)
    for name in ("a", "b", "c"):
        assert len(reader.series(name, ["loss"])["loss"]) == 3
    assert list(reader.series_cache._runs) == ["b", "c"]


def test_several_threads_may_ask(run: RunBuilder, tmp_path: Path) -> None:
    reader = open_home(tmp_path)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(20):
            found = reader.series("r", ["loss"])["loss"].values
            if not np.array_equal(found, np.arange(20.0)):
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
