"""The framework programs of docs/examples, run as a user runs them; offline, and then brought in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.integrations.reading import Kept, recovered

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


def run_example(name: str, home: Path) -> Kept:
    environ = {
        **os.environ,
        "EXPTRACK_HOME": str(home),
        "EXPTRACK_MODE": "offline",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto"))),
    }
    command = [sys.executable, "-W", "ignore", str(ROOT / "docs" / "examples" / f"{name}_basic.py")]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (run,) = recovered(home)
    assert done.stdout.strip().splitlines()[-1] == run.view.id
    assert run.view.status.name == "finished"
    return run


def test_lightning(home: Path):
    run = run_example("lightning", home)
    losses = [value for _, value in run.series("val/loss")]
    assert losses[0] > losses[-1]
    assert run.config["hidden"] == 16
    assert run.media("Graph")
    assert run.view.facts.artifacts


def test_transformers(home: Path):
    run = run_example("transformers", home)
    assert [step for step, _ in run.series("train/loss")] == list(range(1, 13))
    assert [step for step, _ in run.series("eval/loss")] == [6, 12]


def test_keras(home: Path):
    run = run_example("keras", home)
    losses = [value for _, value in run.series("epoch/loss")]
    assert len(losses) == 5
    assert losses[0] > losses[-1]
    assert run.series("test/accuracy")
