"""`Run`: config, summary, stats, the end of a run, and its silence in a forked child."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import exptrack_agent as xt
from exptrack_agent import run as run_module
from exptrack_agent import start
from exptrack_proto.records import Alert, Close, ConfigUpdate, Hparams, Row, Summary
from tests.unit.agent.homes import kept


@pytest.fixture(autouse=True)
def _all_finished() -> Iterator[None]:
    yield
    for run in list(start._live):
        run.finish()


@pytest.fixture
def run(home: Path) -> xt.Run:
    return xt.init("p", name="r", home=home, mode="offline", autostart=False)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="exptrack")
    return caplog


def test_a_change_of_the_config_is_recorded(run, home):
    run.config["lr"] = np.float32(0.5)
    run.config.update({"a": 1}, b=2)
    del run.config["a"]
    assert dict(run.config) == {"lr": 0.5, "b": 2}
    assert repr(run.config).startswith("{")
    changes = [json.loads(item.config) for item in kept(home, ConfigUpdate)]
    assert changes == [{"lr": 0.5}, {"a": 1, "b": 2}, {"a": None}]


def test_the_summary_is_the_last_values_unless_set(run, home):
    run.log({"loss": 1.0, "acc": 0.5})
    run.log({"loss": 0.5, "nested": {"x": 1}})
    run.summary["acc"] = 0.9
    assert dict(run.summary) == {"loss": 0.5, "acc": 0.9, "nested/x": 1}
    assert len(run.summary) == 3
    assert "loss" in repr(run.summary)
    run.log({"loss": 0.25})
    assert run.summary["loss"] == 0.25
    assert [json.loads(item.values) for item in kept(home, Summary)] == [{"acc": 0.9}]


def test_reading_a_wide_summary_takes_no_quadratic_time(run):
    run.log({f"m{number}": 1.0 for number in range(5_000)})
    began = time.monotonic()
    assert len(dict(run.summary.items())) == 5_000
    assert time.monotonic() - began < 2


def test_hparams_and_alerts(run, home, said):
    run.log_hparams({"lr": 0.1}, {"acc": 0.9})
    run.log_hparams(None)
    run.log_hparams({"a": 1}, 5)
    run.alert("title", "text", "error")
    run.alert(None, 5, "panic")
    (hparams,) = kept(home, Hparams)
    assert (json.loads(hparams.hparams), json.loads(hparams.metrics)) == ({"lr": 0.1}, {"acc": 0.9})
    assert [(item.title, item.level) for item in kept(home, Alert)] == [
        ("title", "error"),
        ("None", "warning"),
    ]
    assert run.refused == 3
    assert len(said.messages) == 2


def test_huge_hparams_still_fit_into_a_frame(run, home):
    run.log_hparams(
        {f"k{n}": "v" * 1_000 for n in range(2_000)}, {f"m{n}": "v" * 1_000 for n in range(2_000)}
    )
    assert len(kept(home, Hparams)) == 1


def test_stats_count_what_became_of_rows(run):
    for step in range(10):
        run.log({"a": 1.0, "bad": object()}, step=step)
    stats = run.stats()
    assert (stats["rows"], stats["refused"], stats["dropped"], stats["acked"]) == (10, 10, 0, 0)
    assert stats["pending"] == 11
    assert stats["bytes"] >= 2 * 1024 * 1024


def test_the_cost_of_logging_is_in_the_stats(run):
    deadline = time.monotonic() + 10
    while run.stats()["log_p50_us"] is None:
        assert time.monotonic() < deadline
        run.log({"a": 1.0})
        time.sleep(0.001)
    stats = run.stats()
    assert 0 < stats["log_p50_us"] <= stats["log_p99_us"] <= stats["log_max_us"]


def test_a_finished_run_has_its_close_last_and_takes_nothing_more(run, home, said):
    run.log({"a": 1})
    run.finish()
    run.log({"a": 2})
    run.config["x"] = 1
    run.finish(exit_code=3)
    (close,) = kept(home, Close)
    assert (close.status, close.exit_code) == ("finished", 0)
    assert len(kept(home, Row)) == 1
    assert "is finished" in said.text
    assert run.is_finished


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, ("finished", 0)),
        (None, ("finished", 0)),
        (1, ("failed", 1)),
        (-9, ("failed", -9)),
        (True, ("failed", 1)),
        ("text", ("failed", 1)),
        (2**40, ("failed", 1)),
    ],
    ids=range(7),
)
def test_exit_codes_become_statuses(run, home, code, expected):
    run.finish(exit_code=code)
    (close,) = kept(home, Close)
    assert (close.status, close.exit_code) == expected


def test_an_exception_in_the_with_block_fails_the_run_and_goes_on(home):
    run = xt.init(home=home, mode="offline")
    with pytest.raises(ZeroDivisionError), run:
        run.log({"a": 1 / 0})
    (close,) = kept(home, Close)
    assert (close.status, close.exit_code) == ("failed", 1)


def test_finish_without_a_daemon_returns_at_once_and_keeps_everything(home):
    run = xt.init(home=home, autostart=False)
    for step in range(5_000):
        run.log({"a": float(step)}, step=step)
    began = time.monotonic()
    assert run.flush(timeout_s=5) is False
    run.finish(timeout_s=5)
    assert time.monotonic() - began < 1
    assert [row.step for row in kept(home, Row)] == list(range(5_000))


def test_an_interrupt_while_finish_waits_still_gives_the_box_back(home, monkeypatch):
    run = xt.init(home=home, autostart=False)
    run.log({"a": 1})

    def interrupted(timeout_s: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "daemon_is_near", lambda home: True)
    monkeypatch.setattr(run, "flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert len(kept(home, Close)) == 1
    assert not [thread for thread in threading.enumerate() if "exptrack" in thread.name]


def test_threads_that_log_while_the_run_ends_lose_nothing_silently(run, home):
    logged = [0] * 4
    begun = threading.Barrier(5)

    def work(number: int) -> None:
        begun.wait()
        while not run.is_finished:
            before = run.refused
            run.log({f"t{number}": 1.0}, step=logged[number])
            if run.refused == before:
                logged[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    time.sleep(0.05)
    run.finish()
    for thread in threads:
        thread.join()
    rows = kept(home, Row)
    for number in range(4):
        steps = [row.step for row in rows if f"t{number}" in row.values]
        assert steps == list(range(len(steps)))
        assert len(steps) >= logged[number] - 1
    assert len(rows) + run.refused >= sum(logged)


def test_two_threads_may_finish_a_run(run, home):
    threads = [threading.Thread(target=run.finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(home, Close)) == 1


def test_a_silenced_run_is_silent_whatever_is_asked_of_it(run, home, said):
    before = len(kept(home, Row))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            gc.collect()
            run.log({"a": 1, "bad": object()})
            run.log(None, step="x")
            run.config["x"] = 1
            run.summary["y"] = 2
            run.alert("z")
            run.log({"image": xt.Image(np.zeros((2, 2)))})
            code = int(run.flush() or run.stats()["pending"] < 0)
            run.finish()
            gc.collect()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    run.log({"a": 1})
    assert len(kept(home, Row)) == before + 1
    assert len(kept(home, ConfigUpdate)) == 0


def test_a_finished_run_can_be_collected(home):
    run = xt.init(home=home, mode="offline")
    run.log({"a": 1})
    run.finish()
    gone = weakref.ref(run)
    del run
    gc.collect()
    assert gone() is None


def test_a_run_shows_what_it_is(run):
    assert repr(run) == f"<exptrack run 'r' ({run.id}), offline, 0 rows>"
