"""Recorded norms, counts and clipping against plain torch."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch import gradients, measuring
from exptrack_agent.torch.gradients import clip_gradients, log_gradients
from tests.unit.torch.recording_run import RecordingRun


def model_after_backward() -> torch.nn.Module:
    model = torch.nn.Sequential(
        torch.nn.Linear(80, 70), torch.nn.Tanh(), torch.nn.Linear(70, 3), torch.nn.Linear(3, 3)
    )
    for parameter in model[3].parameters():
        parameter.requires_grad_(False)
    model(torch.randn(4, 80)).square().sum().backward()
    return model


def test_norms_are_those_of_plain_torch(run: RecordingRun):
    model = model_after_backward()
    log_gradients(run, model, 3)
    ((step, row),) = run.rows
    expected = {
        f"gradients/norm/{name}": float(p.grad.double().norm())
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    total = math.sqrt(sum(norm**2 for norm in expected.values()))
    assert step == 3
    assert row.pop("gradients/nan_count") == 0
    assert row.pop("numerical_stability/nan_count") == row.pop("numerical_stability/inf_count") == 0
    assert row == pytest.approx({"gradients/norm": total} | expected, rel=1e-5)
    assert all(type(value) is float for value in row.values())


def test_nan_and_inf_are_counted_over_all_parameters(run: RecordingRun):
    model = model_after_backward()
    model[0].weight.grad[0, :5] = math.nan
    model[0].bias.grad[3] = math.inf
    model[2].bias.grad[1] = -math.inf
    log_gradients(run, model, 0, norms=False)
    assert run.rows == [
        (
            0,
            {
                "gradients/nan_count": 5,
                "numerical_stability/nan_count": 5,
                "numerical_stability/inf_count": 2,
            },
        )
    ]


def test_only_what_is_asked_for_is_recorded(run: RecordingRun):
    model = model_after_backward()
    log_gradients(run, model, 0, norms=False, nan_inf=False, histograms=True)
    ((_, row),) = run.rows
    assert list(row) == [
        f"gradients/{n}" for n, p in model.named_parameters() if p.grad is not None
    ]


def test_a_model_without_gradients_is_no_fault(run: RecordingRun):
    log_gradients(run, torch.nn.Linear(2, 2), 0)
    assert run.rows == []


def test_a_fault_of_recording_does_not_reach_training(run: RecordingRun, monkeypatch: Any):
    monkeypatch.setattr(run, "log", lambda *_, **__: 1 / 0)
    log_gradients(run, model_after_backward(), 0)


def test_misuse_in_strict_mode_does(run: RecordingRun, monkeypatch: Any):
    def refuse(*_: Any, **__: Any) -> None:
        raise Misuse("strict")

    monkeypatch.setattr(run, "log", refuse)
    with pytest.raises(Misuse):
        log_gradients(run, model_after_backward(), 0)


def test_sparse_none_half_complex_and_double_gradients_together(run: RecordingRun):
    table = torch.nn.Embedding(20, 3, sparse=True)
    table(torch.tensor([1, 4, 1])).sum().backward()
    kinds = {
        "half": torch.randn(9).half(),
        "brain": torch.randn(9).bfloat16(),
        "double": torch.randn(9).double(),
        "complex": torch.randn(9, dtype=torch.complex64),
    }
    parameters: list[tuple[str, Any]] = [
        ("table", table.weight),
        ("unused", torch.nn.Parameter(torch.ones(2))),
    ]
    for name, gradient in kinds.items():
        parameter = torch.nn.Parameter(torch.zeros_like(gradient))
        parameter.grad = gradient
        parameters.append((name, parameter))
    log_gradients(run, parameters, 0)
    ((_, row),) = run.rows
    expected = {
        name: float(torch.linalg.vector_norm(g.to(torch.complex128))) for name, g in kinds.items()
    }
    expected["table"] = float(table.weight.grad.to_dense().norm())
    found = {name: row[f"gradients/norm/{name}"] for name in expected}
    assert found == pytest.approx(expected, rel=1e-3)
    assert "gradients/norm/unused" not in row


def test_wrappers_do_not_show_in_names(run: RecordingRun):
    model = model_after_backward()
    compiled = torch.compile(model, backend="eager")
    log_gradients(run, torch.nn.DataParallel(compiled), 0)
    assert "gradients/norm/0.weight" in run.rows[0][1]


# --- clipping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 1e6])
def test_clipping_does_what_torch_does_and_records_it(run: RecordingRun, max_norm: float):
    ours = model_after_backward()
    theirs = copy.deepcopy(ours)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.grad = None if mine.grad is None else mine.grad.clone()
    total = clip_gradients(run, ours, max_norm, 9)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
    torch.testing.assert_close(total, expected)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    ((step, row),) = run.rows
    assert step == 9
    assert row["gradients/norm"] == pytest.approx(float(expected), rel=1e-5)
    assert row["numerical_stability/clipping_threshold"] == max_norm
    assert row["numerical_stability/clipping_applied"] == int(float(expected) > max_norm)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_total_that_is_not_finite_does_to_gradients_what_torch_does(
    run: RecordingRun, bad: float
):
    ours, theirs = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    ours.grad, theirs.grad = torch.tensor([1.0, bad, 2.0]), torch.tensor([1.0, bad, 2.0])
    total = clip_gradients(run, [ours], 1.0, 0)
    expected = torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    torch.testing.assert_close(total, expected, equal_nan=True)
    torch.testing.assert_close(ours.grad, theirs.grad, equal_nan=True)


def test_clipping_works_when_recording_does_not(run: RecordingRun, monkeypatch: Any):
    monkeypatch.setattr(run, "log", lambda *_, **__: 1 / 0)
    model = model_after_backward()
    clip_gradients(run, model, 0.1, 0)
    assert (
        float(
            torch.nn.utils.get_total_norm(
                [p.grad for p in model.parameters() if p.grad is not None]
            )
        )
        < 0.1001
    )


def test_clipping_sparse_and_mixed_gradients(run: RecordingRun):
    table = torch.nn.Embedding(20, 3, sparse=True)
    table(torch.tensor([1, 4, 1])).sum().backward()
    double = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    double.grad = torch.arange(4.0, dtype=torch.float64)
    before = math.hypot(float(table.weight.grad.to_dense().norm()), float(double.grad.norm()))
    total = clip_gradients(run, [table.weight, double], 1.0, 0)
    after = math.hypot(float(table.weight.grad.to_dense().norm()), float(double.grad.norm()))
    assert float(total) == pytest.approx(before)
    assert after == pytest.approx(1.0, rel=1e-5)


def test_without_gradients_the_total_is_zero(run: RecordingRun):
    assert float(clip_gradients(run, torch.nn.Linear(2, 2), 1.0, 0)) == 0.0
    assert run.rows == []


def test_the_norm_of_each_parameter_can_be_left_out(run: RecordingRun):
    clip_gradients(run, model_after_backward(), 1.0, 0, norms=False, nan_inf=False)
    assert sorted(run.rows[0][1]) == [
        "gradients/norm",
        "numerical_stability/clipping_applied",
        "numerical_stability/clipping_threshold",
    ]


# --- a device, by stand-in ------------------------------------------------------------------------


class AtOnce:
    """In the place of device values: what is put lands at once; asks for nothing."""

    def __init__(self) -> None:
        self.puts = 0

    def __call__(self, run: Any, tensors: Any, use: Any, *, what: str) -> None:
        self.puts += 1
        use([number for tensor in tensors for number in tensor.double().reshape(-1).tolist()])


def test_norms_of_a_device_travel_by_slots_with_their_names(run: RecordingRun, monkeypatch: Any):
    model = model_after_backward()
    named = measuring.gradients_of(model)
    log_gradients(run, model, 0)
    expected = run.rows.pop()[1]
    sent = AtOnce()
    monkeypatch.setattr(gradients, "put_later", sent)
    measured = measuring.measure(named)
    vector = torch.tensor(measured.norms.host)
    on_device = gradients.Norms(
        [0.0] * len(named.names), [gradients.DeviceNorms(list(range(len(vector))), vector)]
    )
    gradients.send(
        run,
        measured._replace(norms=on_device, total=torch.tensor(measured.total)),
        0,
        norms=True,
        nan_inf=True,
        limit=1.0,
    )
    together = {name: value for _, row in run.rows for name, value in row.items()}
    assert together.pop("numerical_stability/clipping_threshold") == 1.0
    assert together.pop("numerical_stability/clipping_applied") == 1
    assert together == pytest.approx(expected, rel=1e-6)
    assert sent.puts == 3


def test_parameters_that_come_once_are_clipped_too(run: RecordingRun):
    model = torch.nn.Linear(4, 3)
    model(torch.ones(2, 4)).square().sum().backward()
    expected = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    total = clip_gradients(run, (parameter for parameter in model.parameters()), 1e-3, 4)
    torch.testing.assert_close(total, expected)
    assert run.values("gradients/norm")[4] == pytest.approx(float(expected), rel=1e-5)
    after = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert float(after) == pytest.approx(1e-3, rel=1e-3)
