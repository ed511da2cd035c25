"""The demo, whole, and its counts as strangers read them: TensorBoard's server and reader, W&B's own sync."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from exptrack_daemon.sinks.wandb.readback import fragments_of
from exptrack_daemon.store import open_home
from tests.support.fake_wandb import FakeWandb
from tests.support.tensorboard_server import eventually, tensorboard

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_the_demo_ends_well_and_every_backend_shows_the_same_points(home: Path) -> None:
    command = [sys.executable, "-m", "exptrack_daemon", "demo", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout

    reader = open_home(home)
    view = reader.find("latest")
    logged = {
        name: [
            (point.step, float(point.value)) for point in reader.points(view) if point.name == name
        ]
        for name in ("train/loss", "val/accuracy", "epoch", "learning_rate")
    }
    folder = f"demo/{view.facts.run.name}"
    for fast in (True, False):
        with tensorboard(home / "tensorboard", fast=fast) as server:
            for name, points in logged.items():
                wanted = [(step, pytest.approx(value, rel=1e-6)) for step, value in points]
                shown = eventually(
                    lambda n=name, s=server: s.scalars(folder, n),
                    lambda answer, w=wanted: answer == w,
                )
                assert shown == wanted
    assert accumulated(home / "tensorboard" / folder) == {n: len(p) for n, p in logged.items()}
    assert synced(home, view.id) == {n: len(p) for n, p in logged.items()}


def accumulated(folder: Path) -> dict[str, int]:
    """Points as TensorBoard's `EventAccumulator` has them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    wanted = ("train/loss", "val/accuracy", "epoch", "learning_rate")
    return {name: len(accumulator.Scalars(name)) for name in wanted}


def synced(home: Path, run_id: str) -> dict[str, int]:
    """Points that `wandb sync` brings to a server that speaks W&B's protocol."""
    with FakeWandb() as server:
        environ = {key: text for key, text in os.environ.items() if "WANDB" not in key}
        environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "x" * 40, "HOME": str(home)}
        environ |= {"WANDB_ERROR_REPORTING": "false", "WANDB_DIR": str(home)}
        folders = [str(path.parent) for path in fragments_of(home / "runs" / run_id)]
        command = [sys.executable, "-m", "wandb", "sync", "--yes", *folders]
        done = subprocess.run(
            command, env=environ, cwd=home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        run = server.run(run_id)
        assert not run.overwritten
        counts = Counter(name for row in run.history.values() for name in row)
    return {name: counts[name] for name in ("train/loss", "val/accuracy", "epoch", "learning_rate")}
