"""MLflow behind the real daemon: its worker killed at bad moments, and everything sent again."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest

from exptrack_daemon.home import Home
from tests.support.mlflow_places import Reader, prepare
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ROWS = 1_500
LOG = f"""
run = xt.init("kills", name="r", run_id="r", autostart=False, sinks=("mlflow",), config={{"lr": 0.1}})
for step in range({ROWS}):
    run.log({{"loss": step / 2, "back": -step}}, step=step)
    if step % 500 == 0:
        run.log({{"t": xt.Text(str(step))}}, step=step)
    time.sleep(0.001)
run.finish(timeout_s=20)
"""


def delivered(home):
    try:
        cursor = json.loads(Home(home).cursor("r", "mlflow").read_bytes())
    except FileNotFoundError:
        return 0
    return cursor["rows"]


def test_a_worker_killed_at_any_moment_doubles_and_loses_nothing_and_a_replay_neither(home):
    prepare(home)
    (home / "daemon.toml").write_text("[delivery]\nbatch_age_s = 0.1\n")
    dice = random.Random(7)
    daemon = Daemon(home).start()
    try:
        training = trainer(LOG, home)
        for _ in range(2):
            before = delivered(home)
            wait_until(lambda: delivered(home) > before or delivered(home) >= ROWS, 60)  # noqa: B023
            time.sleep(dice.random() * 0.3)
            os.kill(wait_until(lambda: daemon.pids().get("mlflow"), 30), signal.SIGKILL)
        finished(training)
        wait_until(lambda: "FINISHED" in Reader(home).runs().values(), 90, "all is delivered")
        assert_each_point_once(home)
        done = exptrack("replay", "r", "--to", "mlflow", "--home", str(home))
        assert done.returncode == 0, done.stderr
        wait_until(lambda: delivered(home) >= ROWS, 60)
    finally:
        daemon.end()
    assert_each_point_once(home)
    assert "has a fault" not in daemon.log()


def assert_each_point_once(home):
    held = Reader(home)
    assert len(held.runs()) == 1
    assert held.steps("loss") == held.steps("back") == list(range(ROWS))
    assert {one.value for one in held.metrics() if one.key == "back"} == {-n for n in range(ROWS)}
    texts = [data for path, data in held.files().items() if path.startswith("texts/")]
    assert sorted(texts) == sorted(str(step).encode() for step in range(0, ROWS, 500))
    assert held.params() == {"lr": "0.1"}
