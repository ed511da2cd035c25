"""Compiled models and training steps are watched like plain ones, and nothing of ours is compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys, torch
from exptrack_agent.torch import StabilityMonitor, clip_gradients, watch
from tests.unit.torch.recording_run import RecordingRun
torch.set_num_threads(1)
torch.manual_seed(0)
wrap = torch.compile(backend="eager") if sys.argv[1] == "compiled" else lambda f: f
run = RecordingRun()
model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
watch(run, model, optimizer, updates=1, weights=1, histograms=2)
monitor = StabilityMonitor(run, model, optimizer, activations=1, policy="record")
forward = wrap(model)

@wrap
def step(x, number):
    optimizer.zero_grad()
    loss = forward(x).square().sum()
    loss.backward()
    clip_gradients(run, model, 1.0, 100 + number)
    optimizer.step()
    return loss

for number in range(12):
    monitor.loss(step(torch.randn(3, 6), number))
    monitor.step()
with torch.no_grad():
    model[1].bias.fill_(float("nan"))
monitor.loss(step(torch.randn(3, 6), 12))
monitor.step()

def shown(value):
    return [round(value, 5), value != value] if isinstance(value, float) else str(type(value))

rows = [[at, {name: shown(value) for name, value in row.items()}] for at, row in run.rows]
print(json.dumps([rows, monitor.incidents.kept]))
"""


def result_of(way: str) -> tuple[list[object], str]:
    environ = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.timeout(240)
def test_compiled_training_is_recorded_like_plain_training():
    plain, _ = result_of("plain")
    compiled, words = result_of("compiled")
    assert json.dumps(compiled) == json.dumps(plain)
    assert "recompile_limit" not in words
    assert "exptrack" not in words
