"""Float-bit histograms against counting by numpy with the very same edges, and their bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from exptrack_agent.torch.binning import OCTAVES, Binned
from exptrack_agent.torch.histograms import MOST_TENSORS, histograms_of, log_histograms
from tests.unit.torch.recording_run import RecordingRun


def counted(numbers: Any, found: Binned) -> list[int]:
    """Each bin counted by comparing; below zero a bin has its upper edge instead of its lower."""
    x = np.asarray(numbers, dtype=np.float32).ravel()
    x = x[np.isfinite(x)]
    pairs = list(zip(found.edges[:-1], found.edges[1:], strict=True))
    counts = []
    for low, high in pairs:
        if low < 0 < high:
            inside = (x > low) & (x < high)
        elif low >= 0:
            inside = (x >= low) & ((x < high) | (high == np.finfo(np.float32).max))
        else:
            inside = (x <= high) & ((x > low) | (low == -np.finfo(np.float32).max))
        counts.append(int(inside.sum()))
    return counts


@pytest.mark.parametrize("size", [1, 256, 20_000])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_every_number_is_in_the_bin_whose_edges_hold_it(size: int, scale: float):
    numbers = torch.randn(size) * scale
    (found,) = histograms_of([numbers])
    assert found is not None
    assert found.counts.tolist() == counted(numbers, found)
    assert found.counts.sum() == size
    assert np.all(np.diff(found.edges) > 0)


def test_a_histogram_is_bounded_whatever_the_range():
    exponents = torch.arange(-140.0, 127.0, 0.01)
    numbers = torch.cat([torch.exp2(exponents), -torch.exp2(exponents)])
    (found,) = histograms_of([numbers])
    assert found is not None
    assert len(found.counts) <= 2 * 4 * OCTAVES + 1
    assert found.counts.sum() == numbers.numel()


def test_nan_and_inf_are_left_out():
    numbers = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    (found,) = histograms_of([numbers])
    assert found is not None
    assert found.counts.sum() == 1


def test_without_a_finite_number_there_is_none():
    assert histograms_of([torch.full((5,), math.nan), torch.zeros(0)]) == [None, None]


def test_zeros_stand_around_zero():
    (found,) = histograms_of([torch.zeros(7)])
    assert found is not None
    assert found.counts.tolist() == [7]
    assert found.edges[0] < 0 < found.edges[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_counted_as_float32(dtype: torch.dtype):
    numbers = torch.randn(500).to(dtype)
    (found,) = histograms_of([numbers])
    assert found is not None
    assert found.counts.tolist() == counted(numbers.float(), found)


def test_many_small_tensors_are_counted_together_and_kept_apart():
    tensors = [torch.randn(size) * size for size in (1, 7, 300)] + [torch.randn(9_000)]
    for tensor, found in zip(tensors, histograms_of(tensors), strict=True):
        assert found is not None
        assert found.counts.tolist() == counted(tensor, found)


def test_strided_tensors_are_read_in_full():
    tensor = torch.randn(120, 90).t()
    (found,) = histograms_of([tensor])
    assert found is not None
    assert found.counts.sum() == tensor.numel()


def test_what_is_recorded_is_a_histogram_by_parameter(run: RecordingRun):
    log_histograms(run, "gradients", ["a", "b"], [torch.ones(3), torch.full((2,), math.nan)], 5)
    ((step, row),) = run.rows
    assert step == 5
    assert list(row) == ["gradients/a"]
    (item,) = row["gradients/a"].items("gradients/a", 5, 0)
    assert item["counts"][0] == "u4"
    assert item["edges"][0] == "f4"


def test_histograms_of_one_step_are_capped(run: RecordingRun):
    count = MOST_TENSORS + 3
    log_histograms(run, "gradients", [str(n) for n in range(count)], [torch.ones(1)] * count, 0)
    assert len(run.rows[0][1]) == MOST_TENSORS
