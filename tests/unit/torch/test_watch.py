"""`watch` over real optimizers: what is recorded, when, and what it was computed from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.gradients import clip_gradients
from exptrack_agent.torch.watch import loss_scale_of, watch
from tests.unit.torch.recording_run import RecordingRun


@pytest.fixture
def model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 1))


def train(model: Any, optimizer: Any, steps: int = 1) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(3, 6)).square().sum().backward()
        optimizer.step()


def test_gradients_are_recorded_at_every_step(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch(run, model, optimizer)
    train(model, optimizer, 3)
    norms = run.values("gradients/norm/0.weight")
    assert list(norms) == [0, 1, 2]
    assert norms[2] == pytest.approx(float(model[0].weight.grad.norm()))
    assert run.values("lr") == {0: 0.01, 1: 0.01, 2: 0.01}


def test_each_thing_has_its_own_interval(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch(run, model, optimizer, every=2, histograms=3, weights=4, updates=5)
    train(model, optimizer, 13)
    assert list(run.values("gradients/norm")) == [0, 2, 4, 6, 8, 10, 12]
    assert list(run.values("gradients/0.weight")) == [0, 3, 6, 9, 12]
    assert list(run.values("weights/norm")) == [0, 4, 8, 12]
    assert list(run.values("weights/0.weight")) == [0, 12]
    assert list(run.values("updates/ratio/1.bias")) == [0, 5, 10]


def test_the_update_ratio_is_the_update_over_the_weight_before(run: RecordingRun, model: Any):
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    watch(run, model, optimizer, updates=1, weights=1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, optimizer)
    for name, parameter in model.named_parameters():
        change = float((parameter.detach() - before[name]).norm())
        ratio = change / float(before[name].norm())
        assert run.values(f"updates/ratio/{name}")[0] == pytest.approx(ratio, rel=1e-5)
        assert run.values(f"weights/norm/{name}")[0] == pytest.approx(
            float(parameter.detach().norm())
        )


def test_without_an_optimizer_any_that_steps_the_model_counts(run: RecordingRun, model: Any):
    other = torch.nn.Linear(6, 1)
    with watch(run, model):
        train(other, torch.optim.SGD(other.parameters(), 0.1))
        assert run.rows == []
        train(model, torch.optim.SGD(model.parameters(), 0.1))
    assert list(run.values("gradients/norm")) == [0]


def test_norms_that_clipping_has_recorded_are_not_recorded_again(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch(run, model, optimizer, histograms=1)
    model(torch.randn(3, 6)).square().sum().backward()
    total = float(clip_gradients(run, model.parameters(), 1e-3, 0, norms=False))
    optimizer.step()
    recorded = [row["gradients/norm"] for _, row in run.rows if "gradients/norm" in row]
    assert recorded == [pytest.approx(total)]
    assert list(run.values("gradients/0.weight")) == [0]
    train(model, optimizer)
    assert list(run.values("gradients/norm")) == [0, 1]


def test_a_closed_watch_is_silent(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch(run, model, optimizer).close()
    train(model, optimizer)
    assert run.rows == []


def test_the_user_may_say_which_step_it_is(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watch(run, model, optimizer, step=lambda: 500)
    train(model, optimizer)
    assert list(run.values("gradients/norm")) == [500]


def test_a_fault_while_recording_does_not_reach_training(
    run: RecordingRun, model: Any, monkeypatch: Any
):
    monkeypatch.setattr(run, "log", lambda *_, **__: 1 / 0)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    watched = watch(run, model, optimizer)
    train(model, optimizer, 2)
    assert watched.steps == 2


def test_accumulated_and_unscaled_gradients_are_seen_not_those_of_a_micro_step(
    run: RecordingRun, model: Any
):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    watch(run, model, optimizer)
    batches = torch.randn(2, 3, 6)
    for batch in batches:
        scaler.scale(model(batch).sum()).backward()
    (whole,) = torch.autograd.grad(model(batches.flatten(0, 1)).sum(), model[0].weight)
    scaler.step(optimizer)
    scaler.update()
    assert run.values("gradients/norm/0.weight")[0] == pytest.approx(float(whole.norm()), rel=1e-4)


def test_a_fused_optimizers_gradients_are_divided_by_the_loss_scale(run: RecordingRun, model: Any):
    optimizer = torch.optim.SGD(model.parameters(), 0.0, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    watch(run, model, optimizer)
    batch = torch.randn(3, 6)
    scaler.scale(model(batch).sum()).backward()
    scaled = float(model[0].weight.grad.norm())
    scaler.step(optimizer)
    assert run.values("gradients/norm/0.weight")[0] == pytest.approx(scaled / 1024, rel=1e-4)
    assert loss_scale_of(optimizer) == 1.0


@pytest.mark.parametrize("wrong", [{"every": 0}, {"histograms": -1}, {"updates": -3}])
def test_an_interval_without_meaning_is_refused(
    run: RecordingRun, model: Any, wrong: dict[str, int]
):
    with pytest.raises(Misuse):
        watch(run, model, **wrong)


def test_groups_are_told_apart_by_name_or_number(run: RecordingRun, model: Any):
    groups = [
        {"params": model[0].parameters(), "lr": 0.1, "name": "body"},
        {"params": model[1].parameters(), "lr": torch.tensor(0.2)},
    ]
    optimizer = torch.optim.SGD(groups)
    watch(run, model, optimizer)
    train(model, optimizer)
    assert run.values("lr/body") == {0: 0.1}
    assert run.values("lr/1")[0] == pytest.approx(0.2)
