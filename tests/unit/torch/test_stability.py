"""The stability monitor: what it finds, where it says it began, and what it does about it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.incidents import MOST_KEPT, Incident, Incidents
from exptrack_agent.torch.stability import NumericalInstability, StabilityMonitor
from tests.unit.torch.recording_run import RecordingRun


class Deep(torch.nn.Module):
    """Divides by zero in the middle when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 4)
        self.middle = Break()
        self.last = torch.nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.last(self.middle(self.first(x)))


class Break(torch.nn.Module):
    factor = 1.0

    def forward(self, x: Any) -> Any:
        return x * self.factor


@pytest.fixture
def model() -> Deep:
    return Deep()


def step(model: Deep, optimizer: Any, monitor: StabilityMonitor) -> None:
    optimizer.zero_grad()
    loss = model(torch.randn(3, 4)).sum()
    monitor.loss(loss)
    loss.backward()
    optimizer.step()
    monitor.step()


def test_sound_training_has_nothing_to_report(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    monitor = StabilityMonitor(run, model, optimizer, activations=1, weights=1)
    for _ in range(3):
        step(model, optimizer, monitor)
    report = monitor.report()
    assert (report["steps"], report["nan"], report["inf"], report["first"]) == (3, 0, 0, None)
    assert run.values("numerical_stability/nan_count") == {0: 0, 1: 0, 2: 0}
    assert run.alerts == []


def test_the_first_module_with_nan_is_named(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    monitor = StabilityMonitor(run, model, optimizer, policy="record", activations=1)
    step(model, optimizer, monitor)
    model.middle.factor = math.nan
    step(model, optimizer, monitor)
    found = {incident.place: incident.name for incident in monitor.incidents.kept}
    assert found == {"loss": "loss", "gradient": "first.weight", "activation": "middle"}
    assert {incident.step for incident in monitor.incidents.kept} == {1}
    (activations,) = [i for i in monitor.incidents.kept if i.place == "activation"]
    assert activations.nan == 3 * 4 + 3


def test_spoiled_weights_are_named(run: RecordingRun, model: Deep):
    monitor = StabilityMonitor(run, model, policy="record", weights=2)
    with torch.no_grad():
        model.last.weight[0, 1] = math.inf
        model.last.bias[0] = math.nan
    monitor.step()
    assert monitor.incidents.kept == [Incident(0, "weight", "last.weight", 1, 1)]
    monitor.step()
    assert len(monitor.incidents.kept) == 1


def test_stop_raises_before_the_weights_are_spoiled(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    monitor = StabilityMonitor(run, model, optimizer, policy="stop")
    model.middle.factor = math.inf
    before = model.first.weight.detach().clone()
    with pytest.raises(NumericalInstability, match=r"in loss loss at step 0.*policy"):
        step(model, optimizer, monitor)
    assert torch.equal(model.first.weight, before)
    assert run.alerts[0][2] == "error"


def test_stop_without_an_optimizer_raises_at_the_step_boundary(run: RecordingRun):
    monitor = StabilityMonitor(run, policy="stop")
    monitor.loss(math.nan, "train/loss")
    with pytest.raises(NumericalInstability, match=r"1 NaN in loss train/loss at step 0"):
        monitor.step()
    monitor.step()


def test_warn_says_each_kind_once_and_tells_the_run(run: RecordingRun):
    monitor = StabilityMonitor(run)
    for _ in range(3):
        monitor.loss(math.inf)
        monitor.step()
    assert run.alerts == [("NaN or Inf in a loss", "1 Inf in loss loss at step 0", "warning")]
    assert monitor.report()["inf"] == 3
    assert monitor.report()["unstable_steps"] == 3


def test_a_callback_gets_every_incident_and_its_faults_stay_away(run: RecordingRun):
    got: list[Incident] = []

    def note(incident: Incident) -> None:
        got.append(incident)
        raise RuntimeError("a fault in the user's callback")

    monitor = StabilityMonitor(run, policy="callback", callback=note)
    monitor.loss(math.nan)
    monitor.loss(1.0)
    monitor.loss(torch.tensor(-math.inf), "aux")
    assert got == [Incident(0, "loss", "loss", 1, 0), Incident(0, "loss", "aux", 0, 1)]


@pytest.mark.parametrize(
    "wrong",
    [{"policy": "explode"}, {"policy": "callback"}, {"callback": print}, {"activations": 1}],
)
def test_arguments_without_meaning_are_refused(run: RecordingRun, wrong: dict[str, Any]):
    with pytest.raises(Misuse):
        StabilityMonitor(run, **wrong)


def test_clipping_is_measured_by_how_often_and_how_much(run: RecordingRun):
    parameter = torch.nn.Parameter(torch.zeros(1))
    monitor = StabilityMonitor(run, [parameter], policy="record")
    for gradient in (0.5, 2.0, 4.0, 1.0):
        parameter.grad = torch.tensor([gradient])
        assert float(monitor.clip_gradients(1.0)) == gradient
        monitor.step()
    assert monitor.report()["clipping"] == {
        "calls": 4,
        "applied": 2,
        "share": 0.5,
        "mean_factor": pytest.approx(0.375),
        "smallest_factor": 0.25,
        "threshold": 1.0,
    }
    assert run.values("numerical_stability/clipping_applied") == {0: 0, 1: 1, 2: 1, 3: 0}


def test_gradients_checked_by_clipping_are_not_checked_again(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    monitor = StabilityMonitor(run, model, optimizer, policy="record")
    model(torch.randn(2, 4)).sum().backward()
    monitor.clip_gradients(1.0)
    optimizer.step()
    monitor.step()
    assert len(run.values("gradients/nan_count")) == len(run.rows) == 1


def test_clipping_that_finds_nan_stops_before_the_step(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    monitor = StabilityMonitor(run, model, optimizer, policy="stop")
    model(torch.randn(2, 4)).sum().backward()
    model.last.bias.grad.fill_(math.nan)
    monitor.clip_gradients(1.0)
    with pytest.raises(NumericalInstability, match=r"gradient last\.bias"):
        optimizer.step()


def test_the_share_that_half_precision_could_not_hold(run: RecordingRun):
    parameter = torch.nn.Parameter(torch.zeros(8))
    optimizer = torch.optim.SGD([parameter], 0.0)
    StabilityMonitor(run, [parameter], optimizer, precision=1)
    parameter.grad = torch.tensor([1.0, 1e5, -7e4, 1e-9, 0.0, math.nan, math.inf, 1e-40])
    optimizer.step()
    row = {name.rpartition("/")[2]: value for _, row in run.rows for name, value in row.items()}
    assert row["fp16_overflow_share"] == pytest.approx(2 / 6)
    assert row["fp16_underflow_share"] == pytest.approx(2 / 6)
    assert row["bf16_overflow_share"] == 0.0
    assert row["bf16_underflow_share"] == 0.0


def test_closing_puts_a_flat_report_into_the_summary(run: RecordingRun):
    with StabilityMonitor(run, policy="record") as monitor:
        monitor.loss(math.nan)
        monitor.step()
    assert run.summary == {
        "numerical_stability/steps": 1,
        "numerical_stability/unstable_steps": 1,
        "numerical_stability/nan": 1,
        "numerical_stability/inf": 0,
        "numerical_stability/first": "1 NaN in loss loss at step 0",
    }


def test_a_closed_monitor_leaves_no_hook(run: RecordingRun, model: Deep):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    StabilityMonitor(run, model, optimizer, activations=1).close()
    assert not any(module._forward_hooks for module in model.modules())
    assert not optimizer._optimizer_step_pre_hooks


def test_the_first_hundred_incidents_are_kept_and_all_are_counted(run: RecordingRun):
    incidents = Incidents(run, "record", None)
    for number in range(MOST_KEPT + 50):
        incidents.add(Incident(number, "loss", "loss", 1, 0))
    assert len(incidents.kept) == MOST_KEPT
    assert incidents.nan == len(incidents.steps) == MOST_KEPT + 50


def test_activations_are_looked_at_in_training_mode_on_due_steps_only(
    run: RecordingRun, model: Deep
):
    monitor = StabilityMonitor(run, model, policy="record", activations=2)
    model.middle.factor = math.nan
    seen = []
    for _ in range(4):
        model(torch.randn(1, 4))
        monitor.step()
        seen.append(len(monitor.incidents.kept))
    assert seen == [1, 1, 2, 2]
    model.eval()
    model(torch.randn(1, 4))
    monitor.step()
    assert len(monitor.incidents.kept) == 2
