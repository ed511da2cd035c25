"""Histograms: values are binned and counted whole; NaN, infinity and odd ranges break nothing."""

import numpy as np
import pytest

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.histograms import histogram_value
from exptrack_proto.records import Array, Histogram


def packed(numbers, dtype="f8"):
    array = np.asarray(numbers).astype("?" if dtype == "b1" else f"<{dtype}")
    return Array(dtype=dtype, shape=list(array.shape), data=array.tobytes())


def of_values(numbers, dtype="f8"):
    item = Histogram(name="w", step=1, time_ns=1, values=packed(numbers, dtype))
    value, left_out = histogram_value(item)
    return rows_of(value), left_out


def rows_of(value):
    shape = [dim.size for dim in value.tensor.tensor_shape.dim]
    return np.frombuffer(value.tensor.tensor_content, "<f8").reshape(shape)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i8", "u8", "b1"])
def test_every_value_is_counted_between_its_least_and_most(dtype):
    rows, left_out = of_values([[0, 1], [1, 1]], dtype)
    assert (rows[:, 2].sum(), left_out) == (4, 0)
    assert (rows[0, 0], rows[-1, 1]) == (0, 1)
    assert (rows[:-1, 1] == rows[1:, 0]).all()


def test_nan_and_infinity_are_left_out_and_counted():
    rows, left_out = of_values([1, np.nan, 2, np.inf, -np.inf], "f4")
    assert (rows[:, 2].sum(), left_out) == (2, 3)


@pytest.mark.parametrize("numbers", [[], [np.nan]])
def test_nothing_to_count_gives_an_empty_bin(numbers):
    assert of_values(numbers)[0].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    "numbers", [[-1.7e308, 1.7e308], [0, 5e-324], [1, 1 + 2e-16], [7, 7], [2**53, 2**53 + 2]]
)
def test_ranges_too_wide_or_too_narrow_for_bins_keep_every_value(numbers):
    rows, _ = of_values(numbers)
    assert rows[:, 2].sum() == 2
    assert np.isfinite(rows).all()


def test_counts_and_edges_are_kept_as_they_came():
    item = Histogram(name="w", step=1, time_ns=1, counts=packed([3, 1]), edges=packed([0, 1, 5]))
    assert rows_of(histogram_value(item)[0]).tolist() == [[0, 1, 3], [1, 5, 1]]


def test_many_bins_are_merged_to_at_most_128():
    item = Histogram(
        name="w", step=1, time_ns=1, counts=packed(np.ones(1_000)), edges=packed(np.arange(1_001))
    )
    rows = rows_of(histogram_value(item)[0])
    assert len(rows) <= 128
    assert (rows[:, 2].sum(), rows[0, 0], rows[-1, 1]) == (1_000, 0, 1_000)
    assert (rows[:-1, 1] == rows[1:, 0]).all()


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"counts": packed([1])},
        {"counts": packed([1]), "edges": packed([0])},
        {"counts": packed([]), "edges": packed([0])},
        {"counts": packed([[1]]), "edges": packed([0, 1])},
        {"counts": packed([-1]), "edges": packed([0, 1])},
        {"counts": packed([1]), "edges": packed([1, 0])},
        {"counts": packed([1]), "edges": packed([0, np.nan])},
        {"values": Array(dtype="f8", shape=[3], data=b"")},
    ],
)
def test_what_is_no_histogram_is_rejected_by_name(arrays):
    with pytest.raises(BatchRejected, match="histogram 'w' at step 1"):
        histogram_value(Histogram(name="w", step=1, time_ns=1, **arrays))
