"""The programs of docs/examples, run as a user runs them, and read back from the store and TensorBoard."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exptrack_daemon.store import Point, open_home
from tests.support.processes import Daemon, wait_until
from tests.support.readback import tensorboard_steps

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
pytestmark = pytest.mark.timeout(240)


def run_example(home: Path, *command: str) -> Any:
    """Run one against the daemon of `home`; what the store says of it."""
    environ = {
        **os.environ,
        "EXPTRACK_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(
            map(str, (EXAMPLES.parents[1], EXAMPLES.parents[1] / "proto"))
        ),
    }
    done = subprocess.run(
        [sys.executable, *command],
        env=environ,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "was not recorded" not in done.stderr
    return open_home(home).find(done.stdout.strip().splitlines()[-1])


def points_of(home: Path, run: Any) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in open_home(home).points(run):
        found.setdefault(point.name, []).append(point)
    return found


def test_basic(daemon: Daemon, home: Path):
    run = run_example(home, str(EXAMPLES / "torch_basic.py"))
    found = points_of(home, run)
    assert run.status.name == "finished"
    steps = list(range(48))
    for name in ("train/loss", "gradients/norm", "gradients/norm/0.weight", "lr"):
        assert [point.step for point in found[name]] == steps, name
    assert [point.step for point in found["weights/norm/2.bias"]] == [0, 20, 40]
    assert [point.step for point in found["updates/ratio/2.weight"]] == [0, 10, 20, 30, 40]
    assert [point.step for point in found["performance/samples_per_second"]] == list(
        range(4, 48, 5)
    )
    assert all(point.value > 0 for point in found["performance/step/forward_s"])
    for step in steps:  # the total is that of its parts
        parts = [
            points[step].value
            for name, points in found.items()
            if name.startswith("gradients/norm/")
        ]
        assert math.hypot(*parts) == pytest.approx(found["gradients/norm"][step].value)
    summary = run.facts.summary
    assert summary["architecture/parameters"] == 16 * 64 + 64 + 64 + 1
    assert summary["numerical_stability/unstable_steps"] == 0
    folder = home / "tensorboard" / "examples" / "basic"
    wait_until(lambda: tensorboard_steps(folder, "gradients/0.weight") == {0: 1, 20: 1, 40: 1}, 30)
    wait_until(lambda: sum(tensorboard_steps(folder, "weights/2.bias").values()) == 3, 30)


def test_amp_with_accumulation(daemon: Daemon, home: Path):
    run = run_example(home, str(EXAMPLES / "torch_amp.py"))
    found = points_of(home, run)
    steps = list(range(12))
    assert [point.value for point in found["amp/skipped"]] == [0] * 5 + [1] * 7
    assert [point.value for point in found["amp/scale"]] == [2.0**16] * 5 + [2.0**15] * 7
    assert [point.step for point in found["numerical_stability/clipping_applied"]] == steps
    assert found["performance/effective_batch"][0].value == 32
    assert found["performance/micro_steps"][0].value == 4
    nan = {point.step for point in found["numerical_stability/nan_count"] if point.value}
    inf = {point.step for point in found["numerical_stability/inf_count"] if point.value}
    assert nan | inf == {5}
    assert [point.step for point in found["numerical_stability/fp16_underflow_share"]] == [0, 4, 8]
    assert run.facts.summary["numerical_stability/amp/skipped"] == 1


def test_ddp(daemon: Daemon, home: Path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = run_example(home, *torchrun, str(EXAMPLES / "torch_ddp.py"))
    found = points_of(home, run)
    assert open_home(home).run_ids() == [run.id]
    loss = [(point.rank, point.step) for point in found["train/loss"]]
    assert sorted(loss) == [(rank, step) for rank in range(2) for step in range(10)]
    assert {point.rank for point in found["gradients/norm/weight"]} == {0}
    assert {point.value for point in found["performance/effective_batch"]} == {32}
