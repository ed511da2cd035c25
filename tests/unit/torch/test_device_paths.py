"""What runs for tensors on a device, on CPU tensors taken for such: the numbers are those of the host."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from exptrack_agent.device import DeviceValues
from exptrack_agent.torch import (
    StabilityMonitor,
    activations,
    loss_scale,
    measuring,
    stability,
    statistics,
    watch,
)
from exptrack_agent.torch.accelerator import TorchSlots
from exptrack_agent.torch.statistics import DeviceNorms, Norms
from tests.unit.torch.recording_run import RecordingRun
from tests.unit.torch.test_accelerator import API, HandEvent

watching = __import__("sys").modules["exptrack_agent.torch.watch"]


def norms_left_on_the_device(tensors: Any) -> Norms:
    host = statistics.norms_of(tensors).host
    vector = torch.tensor(host, dtype=torch.float64)
    return Norms([0.0] * len(host), [DeviceNorms(list(range(len(host))), vector)])


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From now on tensors count as being on a device."""

    def begin(run: RecordingRun) -> None:
        for module in (measuring, watching, stability, activations):
            monkeypatch.setattr(module, "norms_of", norms_left_on_the_device)
        for module in (watching, stability, activations, loss_scale):
            monkeypatch.setattr(module, "is_on_device", torch.is_tensor)
        HandEvent.reached = True
        slots = TorchSlots(torch.device("cpu"), API, pinned=False)
        device = SimpleNamespace(open_slots=lambda _: slots, is_capturing=lambda _: False)
        run.landing = DeviceValues(device)

    return begin


def trained(run: RecordingRun, *, bad_step: int = -1) -> tuple[StabilityMonitor, dict[Any, float]]:
    """A few steps with everything on; what was recorded by name and step."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    monitor = StabilityMonitor(run, model, policy="record", activations=1, weights=1)
    monitor._scale = loss_scale.LossScale(run, scaler)
    optimizer.register_step_post_hook(monitor._after_step)
    watched = watch(run, model, optimizer, updates=1, weights=1)
    for step in range(4):
        optimizer.zero_grad()
        x = torch.randn(2, 4) * (math.nan if step == bad_step else 1.0)
        loss = model(x).square().sum()
        monitor.loss(loss)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        if step == 1:
            monitor.clip_gradients(0.01)
        scaler.step(optimizer)
        scaler.update()
        monitor.step()
    watched.close()
    if run.landing is not None:
        assert run.landing.settle(1)
        assert run.landing.skipped == 0
    return monitor, {(name, step): value for step, row in run.rows for name, value in row.items()}


@pytest.mark.parametrize("bad_step", [-1, 2])
def test_the_same_is_recorded_as_on_the_host(on_device: Any, bad_step: int):
    host, device = RecordingRun(), RecordingRun()
    by_host, expected = trained(host, bad_step=bad_step)
    on_device(device)
    by_device, found = trained(device, bad_step=bad_step)
    assert len(device.rows) > len(
        host.rows
    )  # the total, the parts, the counts: each a row of its own
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert by_device.report()["amp"] == by_host.report()["amp"]
    assert by_device.report()["clipping"] == pytest.approx(by_host.report()["clipping"], rel=1e-5)
    places = [(i.step, i.place, i.name) for i in by_host.incidents.kept]
    assert sorted((i.step, i.place, i.name) for i in by_device.incidents.kept) == sorted(places)
    assert bool(places) == (bad_step == 2)
