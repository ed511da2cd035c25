"""Points and cells as curves: nothing that stands out is lost, and smoothing does not lag."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.plots.curves import (
    CELLS,
    Curve,
    broken,
    clipped_to_positive,
    lone,
    of_cells,
    of_series,
    smoothed,
)
from exptrack_daemon.plots.reading import as_steps
from exptrack_daemon.store.series import Series, cells_of, width_for


def series_of(values, steps=None) -> Series:
    values = np.asarray(values, float)
    steps = np.arange(len(values)) if steps is None else np.asarray(steps, np.int64)
    return Series("m", 0, steps, steps * 10, values)


def exact(values, steps=None) -> Curve:
    return of_series(series_of(values, steps), "step", as_steps)


def thinned(values) -> Curve:
    hi = len(values) - 1
    width = width_for(0, hi, CELLS)
    cells = cells_of(series_of(values), axis="step", lo=0, hi=hi, width=width)
    return of_cells(cells, 0, hi, as_steps)


def test_few_points_stay_as_they_are():
    curve = exact(range(100))
    assert curve.x.tolist() == curve.y.tolist() == list(range(100))
    assert (curve.points, curve.is_thinned) == (100, False)


@pytest.mark.parametrize("amount", [5_000, 250_000])
def test_many_points_keep_their_extremes_in_the_band(amount: int):
    values = np.random.default_rng(0).standard_normal(amount)
    values[amount // 3], values[2 * amount // 3] = -99, 99
    curve = thinned(values)
    assert (curve.lowest.min(), curve.highest.max()) == (-99, 99)
    assert len(curve) <= CELLS
    assert (curve.points, curve.is_thinned) == (amount, True)
    assert curve.x[0] >= 0
    assert curve.x[-1] <= amount - 1


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(-9, 9)), min_size=1, max_size=80),
)
def test_of_several_values_at_a_step_the_last_counts(points):
    curve = exact([v for _, v in points], [s for s, _ in points])
    assert dict(zip(curve.x.tolist(), curve.y.tolist(), strict=True)) == dict(points)
    assert np.all(np.diff(curve.x) > 0)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=60))
def test_what_is_not_finite_is_kept_apart(values):
    curve = exact(values)
    assert np.isfinite(curve.y).all()
    assert len(curve.y) + len(curve.odd_y) == len(values)
    assert curve.odd_points == len(curve.odd_y)


def test_of_very_many_non_finite_points_every_stretch_is_marked():
    values = np.full(300_000, 1.0)
    values[1_000:1_010] = np.inf
    values[100_000:200_000] = np.nan
    curve = thinned(values)
    assert curve.odd_points == 100_010
    assert len(curve.odd_x) < 1_000
    assert np.isinf(curve.odd_y).any()
    marked = curve.odd_x[np.isnan(curve.odd_y)]
    assert 99_000 < marked.min() < 101_000
    assert marked.max() > 199_000


def test_a_line_does_not_go_on_across_gaps_and_nans():
    steps = [step for step in range(1_000) if not 400 <= step < 500]
    curve = exact(np.where(np.array(steps) == 7, np.nan, 1.0), steps)
    assert curve.gaps == ((399.0, 500.0),)
    x, y = broken(curve, curve.y)
    assert x[np.isnan(y)].tolist() == [7.0, 449.5]


def test_a_point_between_two_nans_is_seen():
    values = np.ones(200)
    values[[10, 12, 198]] = np.nan
    assert lone(exact(values)).tolist() == [10, 196]
    assert exact(values).x[[10, 196]].tolist() == [11, 199]
    assert lone(exact([])).tolist() == []


def test_another_interval_is_no_gap():
    steps = [*range(200), *range(200, 2_200, 10)]
    assert exact(np.ones(len(steps)), steps).gaps == ()


def test_a_smooth_line_does_not_lag_and_begins_anew_after_a_gap():
    steps = [*range(100), *range(200, 300)]
    even = smoothed(exact([0.0] * 100 + [10.0] * 100, steps), 0.1)
    assert even[[99, 100]].tolist() == pytest.approx([0.0, 10.0])
    slope = np.arange(500.0)
    even = smoothed(exact(slope), 0.05)
    assert np.abs(even[100:400] - slope[100:400]).max() < 0.1


def test_a_smooth_line_of_noise_is_calmer_and_as_high():
    noise = np.random.default_rng(1).standard_normal(2_000) + 5
    even = smoothed(exact(noise), 0.05)
    assert even.std() < noise.std() / 4
    assert abs(even.mean() - noise.mean()) < 0.1


@pytest.mark.parametrize(("amount", "share"), [(19, 0.02), (500, 0.0), (1, 0.5)])
def test_too_few_points_or_no_share_have_no_smooth_line(amount: int, share: float):
    assert smoothed(exact(range(amount)), share) is None


def test_a_logarithmic_axis_shows_what_is_positive_and_counts_the_rest():
    curve, left_out = clipped_to_positive(exact([-1.0, 0.0, 2.0, 3.0]))
    assert (curve.y.tolist(), left_out) == ([2.0, 3.0], 2)


def test_the_widest_range_of_steps():
    curve = exact([1.0, 2.0, 3.0], [-(2**63), 0, 2**63 - 1])
    assert curve.y.tolist() == [1.0, 2.0, 3.0]


def test_nothing_is_a_curve_too():
    assert (len(exact([])), exact([]).gaps, exact([]).points) == (0, (), 0)
