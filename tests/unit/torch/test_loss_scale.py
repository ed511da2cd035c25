"""The loss scale of a real GradScaler, and exactly the steps it skipped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from exptrack_agent.torch.stability import StabilityMonitor
from tests.unit.torch.recording_run import RecordingRun


def train(run: RecordingRun, bad: set[int], *, fused: bool, steps: int = 6) -> StabilityMonitor:
    """Training in which the gradients of some steps are infinite."""
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1_000)
    monitor = StabilityMonitor(run, model, optimizer, scaler=scaler, policy="stop")
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(torch.randn(2, 3)).sum() * (math.inf if step in bad else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        monitor.step()
    assert float(scaler.get_scale()) == 256.0 / 2 ** len(bad)
    return monitor


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bad", [set(), {2}, {0, 3, 4}])
def test_skipped_steps_and_the_scale_are_those_of_the_scaler(
    run: RecordingRun, bad: set[int], fused: bool
):
    monitor = train(run, bad, fused=fused)
    scale, skipped, expected, history = 256.0, 0, {}, []
    for step in range(6):
        scale, skipped = (scale / 2, skipped + 1) if step in bad else (scale, skipped)
        expected[step] = (scale, skipped)
        if not history or history[-1][1] != scale:
            history.append((step, scale))
    assert run.values("amp/scale") == {step: pair[0] for step, pair in expected.items()}
    assert run.values("amp/skipped") == {step: pair[1] for step, pair in expected.items()}
    assert monitor.report()["amp"] == {
        "scale": scale,
        "skipped": len(bad),
        "scale_changes": history,
    }


def test_infinite_gradients_under_a_scaler_are_no_incident(run: RecordingRun):
    assert train(run, {1}, fused=False).report()["first"] is None


def test_a_disabled_scaler_has_no_scale(run: RecordingRun):
    model: Any = torch.nn.Linear(2, 1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    monitor = StabilityMonitor(run, model, scaler=scaler)
    monitor.step()
    assert run.values("amp/scale") == {}
    assert monitor.report()["amp"]["scale"] is None
