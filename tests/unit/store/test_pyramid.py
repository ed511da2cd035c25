from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exptrack_daemon.store.pyramid import Grid, levels_of
from exptrack_daemon.store.series import Axis, Series, cells_of

nan, inf = float("nan"), float("inf")


def test_one_spike_among_many_is_in_every_level_at_its_place() -> None:
    n, at = 200_000, 123_457
    steps = np.arange(n)
    values = np.sin(steps / 1000)
    values[at] = 50.0
    values[at + 9] = nan
    levels = list(levels_of(steps, steps * 7, values, "step"))
    assert len(levels) >= 2
    for shift, rows in levels:
        cell = int(np.nanargmax(rows.max))
        assert rows.cell[cell] == at >> shift
        assert rows.max[cell] == 50.0
        assert rows.nan.sum() == 1
        assert rows.count.sum() == n


def test_levels_are_sparse_where_steps_are() -> None:
    steps = np.arange(10_000) * 1_000_000
    ((shift, rows), *_) = levels_of(steps, steps, np.ones(10_000), "step")
    assert len(rows) <= 10_000 // 128 + 2
    assert rows.count.sum() == 10_000
    assert 1 << shift >= 1_000_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4000),
            st.integers(0, 4000),
            st.one_of(st.floats(-10, 10), st.sampled_from([nan, inf, -inf])),
        ),
        min_size=1,
        max_size=300,
    ),
    st.sampled_from(["step", "time"]),
    st.integers(0, 12),
)
def test_cells_from_a_level_are_those_from_points(
    points: list[tuple[int, int, float]], axis: Axis, shift: int
) -> None:
    points.sort(key=lambda point: point[0])
    steps, times, values = (np.array(column) for column in zip(*points, strict=True))
    values = values.astype(float)
    series = Series("a", 0, steps, times, values)
    expected = cells_of(series, axis=axis, lo=100, hi=3000, width=1 << shift)
    first, cells = expected.x0 >> shift, len(expected)
    plain = Grid(first, cells, shift)
    half = len(steps) // 2
    plain.add_points(steps[:half], times[:half], values[:half], axis)
    plain.add_points(steps[half:], times[half:], values[half:], axis)
    grids = [plain]
    for level, rows in levels_of(steps, times, values, axis):
        if level <= shift:
            grids.append(Grid(first, cells, shift))
            grids[-1].add_cells(rows, level)
    for grid in grids:
        found = grid.cells()
        for column in ("count", "min", "max", "last", "last_ns", "nan", "pos_inf", "neg_inf"):
            np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=1e-9)
