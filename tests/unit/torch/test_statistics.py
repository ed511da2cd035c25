"""Norms and counts against plain torch, for every kind of tensor that gradients come as."""

from __future__ import annotations

import math

import pytest
import torch

from exptrack_agent.torch.statistics import (
    SMALL,
    Nonfinite,
    Norms,
    gathered,
    nonfinite_of_flagged,
    nonfinite_on_device,
    norms_of,
    plain,
)


def plainly(tensor: torch.Tensor) -> float:
    """The norm, by the simplest means there are."""
    dense = tensor.detach()
    dense = dense.to_dense() if dense.is_sparse else dense
    dense = torch.view_as_real(dense) if dense.is_complex() else dense
    return float(dense.double().square().sum().sqrt())


SIZES = [1, 3, SMALL - 1, SMALL, SMALL + 1, 100_000]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_norms_are_those_of_plain_torch(dtype: torch.dtype):
    tensors = [torch.randn(size).to(dtype) for size in SIZES]
    assert norms_of(tensors).host == pytest.approx([plainly(t) for t in tensors], rel=2e-5)


def test_mixed_kinds_keep_their_places():
    index = torch.tensor([[0, 2, 0]])
    tensors = [
        torch.randn(5000),
        torch.randn(3, 4),
        torch.randn(6, 7).t(),
        torch.randn(70, 80).t(),
        torch.randn(8, 4, 5, 5).to(memory_format=torch.channels_last),
        torch.randn(10, dtype=torch.float64),
        torch.randn(10).half(),
        torch.randn(20, dtype=torch.complex64),
        torch.randn(6000, dtype=torch.complex128),
        torch.sparse_coo_tensor(index, torch.tensor([1.0, 2.0, 3.0]), (5,), check_invariants=True),
        torch.tensor(-2.0),
        torch.zeros(0),
        torch.zeros(9),
        torch.zeros(5000),
    ]
    norms = norms_of([plain(tensor) for tensor in tensors])
    assert norms.devices == []
    assert norms.host == pytest.approx([plainly(tensor) for tensor in tensors], rel=1e-5)
    together = math.sqrt(sum(plainly(tensor) ** 2 for tensor in tensors))
    assert norms.total() == pytest.approx(together, rel=1e-5)


def test_doubled_entries_of_a_sparse_gradient_are_added_first():
    index = torch.tensor([[1, 1]])
    gradient = torch.sparse_coo_tensor(index, torch.tensor([3.0, 1.0]), (4,), check_invariants=True)
    assert norms_of([plain(gradient)]).host == [4.0]


@pytest.mark.parametrize("size", [10, 5_000])
@pytest.mark.parametrize("value", [1e25, 1e-25, 3e38])
def test_a_norm_beyond_the_squares_of_float32_is_right_and_finite(size: int, value: float):
    tensor = torch.full((size,), value)
    expected = float(tensor[0].double()) * math.sqrt(size)
    assert norms_of([tensor]).host[0] == pytest.approx(expected, rel=1e-6)


def test_a_half_precision_norm_beyond_65504_is_right():
    assert norms_of([torch.full((100_000,), 300.0).half()]).host[0] == pytest.approx(
        300 * math.sqrt(100_000), rel=1e-3
    )


def test_16_million_numbers_are_summed_to_five_digits():
    tensor = torch.randn(1 << 24)
    assert norms_of([tensor]).host[0] == pytest.approx(plainly(tensor), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("size", [50, 5_000])
def test_nan_and_inf_are_counted_exactly_where_a_norm_is_not_finite(size: int, dtype: torch.dtype):
    clean, bad, worse = (torch.randn(size).to(dtype) for _ in range(3))
    bad[::7] = math.inf
    worse[3], worse[5], worse[8] = math.nan, -math.inf, math.nan
    tensors = [clean, bad, worse]
    norms = norms_of(tensors)
    assert math.isinf(norms.host[1])
    assert math.isnan(norms.host[2])
    assert math.isnan(norms.total())
    counts = nonfinite_of_flagged(tensors, norms.host)
    assert counts == {1: Nonfinite(0, len(range(0, size, 7))), 2: Nonfinite(2, 1)}


def test_a_nan_shows_in_the_total_even_beside_an_inf():
    assert math.isnan(Norms([math.inf, math.nan], []).total())
    assert Norms([math.inf, 1.0], []).total() == math.inf
    assert Norms([], []).total() == 0.0


def test_counts_of_a_device_come_as_one_tensor():
    tensors = [torch.tensor([1.0, math.nan]), torch.tensor([math.inf, -math.inf, math.nan])]
    assert nonfinite_on_device(tensors).tolist() == [2, 2]


def test_norms_on_a_device_stay_there():
    tensors = [torch.empty(9, device="meta"), torch.ones(4), torch.empty(5, device="meta")]
    norms = norms_of(tensors)
    assert norms.host == [0.0, 2.0, 0.0]
    (part,) = norms.devices
    assert (part.places, part.vector.device.type) == ([0, 2], "meta")
    assert norms.total().device.type == "meta"


def test_nothing_is_changed_and_nothing_of_the_last_call_stays():
    tensors = [torch.randn(4), torch.randn(2, 3)]
    before = [tensor.clone() for tensor in tensors]
    first = norms_of(tensors).host
    tensors[0].zero_()
    assert norms_of(tensors).host == [0.0, pytest.approx(first[1])]
    assert torch.equal(tensors[1], before[1])


def test_gathered_numbers_stand_in_order():
    tensors = [torch.tensor([[1.0, 2.0]]), torch.tensor(3.0)]
    assert gathered(tensors).tolist() == [1.0, 2.0, 3.0]
