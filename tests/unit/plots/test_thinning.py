"""Any number of points as few: nothing that stands out is lost, in whatever pieces they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.plots import thinning
from exptrack_daemon.plots.thinning import BUCKETS, Line, Thinner


def line_of(steps, values, piece: int = 0) -> Line:
    steps, values = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=float)
    thinner = Thinner()
    for at in range(0, len(steps), piece or max(1, len(steps))):
        thinner.add(steps[at : at + (piece or len(steps))], values[at : at + (piece or len(steps))])
    return thinner.line()


def test_few_points_stay_as_they_are():
    line = line_of(range(100), range(100))
    assert line.steps.tolist() == list(range(100))
    assert line.values.tolist() == list(range(100))
    assert line.points == 100


@pytest.mark.parametrize("amount", [5_000, 250_000])
def test_many_points_keep_their_extremes_and_ends(amount: int):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(amount)
    low, high = amount // 3, 2 * amount // 3
    values[low], values[high] = -99, 99
    line = line_of(range(amount), values, piece=20_011)
    kept = dict(zip(line.steps.tolist(), line.values.tolist(), strict=True))
    assert (kept[low], kept[high]) == (-99, 99)
    assert line.steps[[0, -1]].tolist() == [0, amount - 1]
    assert len(line.steps) <= 4 * BUCKETS
    assert line.points == amount
    assert all(values[step] == value for step, value in kept.items())


def test_a_mean_is_that_of_all_points():
    steps = np.arange(300_000)
    line = line_of(steps, np.where(steps % 100 == 0, 100.0, 0.0), piece=7_777)
    assert np.abs(line.smooth_values - 1.0).max() < 0.3


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(-9, 9)), min_size=1, max_size=80),
    st.integers(1, 20),
)
def test_of_several_values_at_a_step_the_last_counts(points, piece: int):
    line = line_of([s for s, _ in points], [v for _, v in points], piece)
    assert dict(zip(line.steps.tolist(), line.values.tolist(), strict=True)) == dict(points)
    assert line.points == len(dict(points))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=60))
def test_what_is_not_finite_is_kept_apart(values):
    line = line_of(range(len(values)), values)
    assert np.isfinite(line.values).all()
    assert len(line.values) + len(line.odd_values) == len(values)
    assert line.odd_points == len(line.odd_values)


def test_of_very_many_non_finite_points_every_stretch_is_marked():
    values = np.full(300_000, 1.0)
    values[1_000:1_010] = np.inf
    values[100_000:200_000] = np.nan
    line = line_of(range(300_000), values, piece=9_999)
    assert line.odd_points == 100_010
    assert len(line.odd_steps) < 2_000
    assert np.isinf(line.odd_values).any()
    assert line.odd_steps[np.isnan(line.odd_values)][[0, -1]].tolist()[0] == 100_000
    assert line.odd_steps.max() > 199_000


def test_a_stretch_without_points_is_a_gap():
    steps = [step for step in range(1_000) if not 400 <= step < 500]
    assert line_of(steps, np.ones(len(steps))).gaps == ((399, 500),)


def test_another_interval_is_no_gap():
    steps = [*range(200), *range(200, 2_200, 10)]
    assert line_of(steps, np.ones(len(steps))).gaps == ()


def test_non_finite_points_are_no_gap():
    values = np.ones(100)
    values[40:60] = np.nan
    assert line_of(range(100), values).gaps == ()


def test_a_smooth_line_begins_anew_after_a_gap():
    steps = [*range(100), *range(200, 300)]
    line = line_of(steps, [0.0] * 100 + [10.0] * 100)
    assert line.smooth_values[[99, 100]].tolist() == [0.0, 10.0]


@pytest.mark.parametrize("amount", [50, 150_000])
def test_a_new_attempt_takes_back_what_stood_there(amount: int):
    thinner = Thinner()
    steps = np.arange(amount)
    thinner.add(steps, np.where(steps % 2 == 0, 1.0, np.nan))
    thinner.rewind(amount // 2)
    thinner.add(steps[amount // 2 :], np.full(amount - amount // 2, 5.0))
    line = thinner.line()
    assert set(line.values[line.steps >= amount // 2].tolist()) == {5.0}
    assert line.odd_steps.max() < amount // 2


def test_the_widest_range_of_steps():
    line = line_of([-(2**63), 0, 2**63 - 1], [1.0, 2.0, 3.0])
    assert line.values.tolist() == [1.0, 2.0, 3.0]


def test_nothing_is_a_line_too():
    assert Thinner().line().points == 0
    assert thinning.Thinner().line().gaps == ()
