"""Histograms of tensors on a device: as on the host, and nothing that would wait is ever called."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import exptrack_agent as xt
from exptrack_agent import run as run_module
from exptrack_agent.torch import device_histograms, histograms
from exptrack_agent.torch.binning import COARSE_SHIFT, FINE_SHIFT
from exptrack_agent.torch.device_histograms import histogram_of, put_histograms, windows
from exptrack_agent.torch.histograms import histograms_of, log_histograms
from exptrack_proto.records import Histogram
from tests.unit.agent.homes import kept
from tests.unit.torch.recording_run import RecordingRun
from tests.unit.torch.slots_here import landing
from tests.unit.torch.test_accelerator import HandEvent

WAITING = ("_local_scalar_dense", "nonzero", "bincount", "unique", "masked_select", "equal", "item")


class Calls(TorchDispatchMode):
    """Every operation that reaches a device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def odd_numbers() -> list[Any]:
    """Of every size and kind, with what is not finite in between."""
    generator = torch.Generator().manual_seed(4)
    large = torch.randn(70, 90, generator=generator)
    spoiled = large.clone()
    spoiled[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
    return [
        large,
        spoiled,
        large.T,
        large * 1e-42,
        large.abs() * 3e38,
        large.bfloat16(),
        large.double() * 1e60,
        torch.zeros(5_000),
        torch.tensor([1.0, -2.0, 0.0, math.nan]),
        torch.randint(-9, 9, (40,), generator=generator),
    ]


@pytest.mark.parametrize("is_deterministic", [False, True])
def test_a_window_shows_what_the_host_would(
    monkeypatch: pytest.MonkeyPatch, is_deterministic: bool
):
    # setting it would import the compiler, for seconds
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: is_deterministic)
    for tensor in odd_numbers():
        (expected,) = histograms_of([tensor])
        is_fine = tensor.numel() > 4_096 or tensor.dtype is not torch.float32
        shift = FINE_SHIFT if is_fine else COARSE_SHIFT
        found = histogram_of(windows([tensor], shift)[0].tolist(), shift)
        if expected is None:
            assert found is None
            continue
        np.testing.assert_array_equal(found.np_histogram[0], expected.counts)
        np.testing.assert_array_equal(found.np_histogram[1], expected.edges)


def test_large_tensors_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_histograms, "_PIECE", 1_000)
    tensor = odd_numbers()[0]
    (expected,) = histograms_of([tensor])
    found = histogram_of(windows([tensor], FINE_SHIFT)[0].tolist(), FINE_SHIFT)
    np.testing.assert_array_equal(found.np_histogram[0], expected.counts)


@pytest.mark.parametrize("shift", [FINE_SHIFT, COARSE_SHIFT])
def test_nothing_that_waits_for_the_device_is_called(shift: int):
    """On the meta device there are no numbers at all: whoever asked for one would raise."""
    with Calls() as calls:
        shown = windows([torch.empty(70, 90, device="meta"), torch.empty(9, device="meta")], shift)
    assert shown.device.type == "meta"
    assert not [name for name in calls.names if any(word in name for word in WAITING)]


def test_the_histograms_of_a_model_come_when_they_have_landed(monkeypatch: pytest.MonkeyPatch):
    run, names = RecordingRun(), [f"p{number}" for number in range(10)]
    run.landing = landing()
    monkeypatch.setattr(histograms, "is_on_device", torch.is_tensor)
    HandEvent.reached = False
    log_histograms(run, "weights", names, odd_numbers(), 7)
    run.landing.poll()
    assert (run.rows, run.items) == ([], [])
    HandEvent.reached = True
    assert run.landing.settle(1)
    finite = sorted(f"weights/p{number}" for number in range(10) if number != 6)
    assert sorted(item["name"] for item in run.items) == finite
    assert {item["step"] for item in run.items} == {7}
    assert len({item["time_ns"] for item in run.items}) == 1
    assert run.landing.skipped == 0


def test_many_tensors_get_coarse_bins_and_still_fit(monkeypatch: pytest.MonkeyPatch):
    run = RecordingRun()
    run.landing = landing()
    names = [f"p{number}" for number in range(300)]
    put_histograms(run, "gradients", names, [torch.randn(5_000) for _ in names], 1)
    assert run.landing.settle(1)
    assert (len(run.items), run.landing.skipped) == (300, 0)
    most = max(item["counts"][1][0] for item in run.items)
    assert most <= 33


def test_a_histogram_that_a_user_logs_is_binned_where_it_stands(home, monkeypatch):
    run = xt.init(home=home, mode="offline")
    run.landing = landing()
    monkeypatch.setattr(run_module, "is_on_accelerator", torch.is_tensor)
    tensor = torch.randn(6_000)
    run.log({"loss": 1.0, "w": xt.Histogram(tensor), "none": xt.Histogram(torch.empty(0))}, step=3)
    tensor.zero_()  # too late to be seen
    run.finish()
    (item,) = kept(home, Histogram)
    assert (item.name, item.step, item.values) == ("w", 3, None)
    counts = np.frombuffer(item.counts.data, np.uint32)
    assert counts.sum() == 6_000
    assert len(counts) > 60
