"""One agent and one real daemon: what is acknowledged is durable, what is lost is said, and what it costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import exptrack_agent as xt
from exptrack_agent import start
from exptrack_agent.settings import ring_root
from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, wait_until
from tests.support.readback import steps_of


@pytest.fixture(autouse=True)
def _all_finished() -> Iterator[None]:
    yield
    for run in list(start._live):
        run.finish()


@pytest.fixture
def run(daemon: Daemon) -> xt.Run:
    return xt.init("together", run_id="run", home=daemon.home, autostart=False)


def test_flush_says_true_when_every_row_is_in_the_journal(run: xt.Run, daemon: Daemon) -> None:
    for step in range(1_000):
        run.log({"loss": 1.0}, step=step)
    assert run.flush(timeout_s=20)
    assert steps_of(daemon.home, "run", "loss") == list(range(1_000))
    stats = run.stats()
    assert (stats["acked"], stats["pending"], stats["spooled"]) == (1_001, 0, 0)


def test_what_is_acknowledged_leaves_the_black_box(run: xt.Run, daemon: Daemon) -> None:
    wide = {f"m{number}": float(number) for number in range(2_000)}
    for _ in range(500):
        run.log(wide)
    assert run.flush(timeout_s=30)
    assert run.stats()["bytes"] <= 10 * 1024 * 1024
    run.finish()
    assert not any(ring_root(daemon.home).iterdir())
    assert not any((daemon.home / "spool").iterdir())


def test_media_arrive_whole_and_in_order(run: xt.Run, daemon: Daemon) -> None:
    image = np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)
    for step in range(3):
        run.log({"image": xt.Image(image), "text": xt.Text("t" * 1_000), "loss": 1.0}, step=step)
    run.log({"h": xt.Histogram(np.arange(200_000.0)), "tab": xt.Table([[1, "a"]])}, step=3)
    run.finish(timeout_s=20)
    assert run.stats()["pending"] == 0
    assert open_home(daemon.home).find("run").problems == []
    assert daemon.status()["intake"]["rejected"] == 0


def test_a_restarted_daemon_gets_the_rest_without_a_reconnecting_user(home: Path) -> None:
    daemon = Daemon(home).start()
    run = xt.init("together", run_id="run", home=home, autostart=False)
    try:
        run.log({"loss": 1.0}, step=0)
        assert run.flush(timeout_s=20)
        daemon.stop()
        for step in range(1, 500):
            run.log({"loss": 1.0}, step=step)
        assert run.flush(timeout_s=1) is False
        wait_until(lambda: run.stats()["spooled"] > 0, 20)
        daemon = Daemon(home).start()
        wait_until(lambda: run.flush(timeout_s=5), 30)
        assert steps_of(home, "run", "loss") == list(range(500))
        run.log({"loss": 1.0}, step=500)
        run.finish(timeout_s=20)
        assert steps_of(home, "run", "loss") == list(range(501))
    finally:
        daemon.end()


def test_a_loss_while_the_daemon_is_frozen_stands_once_in_the_ledger(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exptrack_agent.settings import BoxLimits

    monkeypatch.setattr(start, "BoxLimits", lambda: BoxLimits(burst_segments=2, spool_bytes=1))
    run = xt.init("together", run_id="run", home=home, autostart=False)
    wide = {f"m{number}": 1.0 for number in range(2_000)}
    while run.dropped < 50:
        run.log(wide)
    daemon = Daemon(home).start()
    try:
        wait_until(lambda: run.flush(timeout_s=1) or run.stats()["bytes"] < 7_000_000, 30)
        run.log({"after": 1.0})
        run.finish(timeout_s=20)
        view = open_home(home).find("run")
        ledger = sorted((entry.first, entry.last) for entry in view.facts.ledger)
        assert sum(last - first + 1 for first, last in ledger) == run.dropped
        assert all(ends < begins for (_, ends), (begins, _) in itertools.pairwise(ledger))
        assert len(steps_of(home, "run", "m0")) == run.rows - 1
        assert run.stats()["pending"] == 0
    finally:
        daemon.end()


def test_beginning_and_ending_a_run_takes_no_time_worth_mentioning(daemon: Daemon) -> None:
    xt.init("together", home=daemon.home, autostart=False).finish()
    times: list[float] = []
    for _ in range(10):
        began = time.monotonic()
        run = xt.init("together", home=daemon.home, autostart=False)
        run.log({"loss": 1.0})
        times.append(time.monotonic() - began)
        run.finish(timeout_s=20)
        assert run.stats()["pending"] == 0
    assert sorted(times)[len(times) // 2] < 0.1
