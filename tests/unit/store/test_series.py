from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.store.series import Series, cells_of, join_attempts, width_for

nan, inf = float("nan"), float("inf")


def series(steps: list[int], values: list[float], times: list[int] | None = None) -> Series:
    return Series("loss", 0, np.array(steps), np.array(times or steps), np.array(values, float))


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(2, 5_000))
def test_width_is_the_smallest_power_of_two_that_covers(lo: int, span: int, cells: int) -> None:
    hi = lo + span
    width = width_for(lo, hi, cells)
    assert width & (width - 1) == 0
    assert hi // width - lo // width + 1 <= cells
    half = width // 2
    assert width == 1 or hi // half - lo // half + 1 > cells


def test_cells_keep_every_extreme_and_count_what_is_not_finite() -> None:
    found = cells_of(
        series([0, 1, 2, 4, 5, 9], [1.0, nan, 3.0, inf, -inf, 7.0]),
        axis="step",
        lo=0,
        hi=11,
        width=4,
    )
    assert (found.x0, found.width, len(found)) == (0, 4, 3)
    assert found.count.tolist() == [3, 2, 1]
    assert found.min[[0, 2]].tolist() == [1.0, 7.0]
    assert found.max[[0, 2]].tolist() == [3.0, 7.0]
    assert found.mean[[0, 2]].tolist() == [2.0, 7.0]
    assert np.isnan([found.min[1], found.max[1], found.mean[1], found.last[1]]).all()
    assert found.last[[0, 2]].tolist() == [3.0, 7.0]
    assert found.last_ns.tolist() == [2, 5, 9]
    assert found.nan.tolist() == [1, 0, 0]
    assert found.pos_inf.tolist() == [0, 1, 0]
    assert found.neg_inf.tolist() == [0, 1, 0]


def test_cells_over_time_go_by_time_not_by_step() -> None:
    found = cells_of(series([5, 1], [1.0, 2.0], [8, 3]), axis="time", lo=2, hi=9, width=4)
    assert found.x0 == 0
    assert found.count.tolist() == [1, 0, 1]
    assert found.last[[0, 2]].tolist() == [2.0, 1.0]


@given(
    st.lists(
        st.tuples(
            st.integers(-40, 40),
            st.integers(0, 60),
            st.sampled_from([0.5, -2.0, 7.25, nan, inf, -inf]),
        ),
        max_size=60,
    ),
    st.sampled_from(["step", "time"]),
    st.integers(-50, 50),
    st.integers(0, 60),
    st.sampled_from([1, 3, 8, 64]),
)
def test_each_cell_is_what_its_points_say_one_by_one(points, axis, lo, span, width) -> None:
    points = sorted(points, key=lambda point: point[0])
    steps, times, values = (
        (list(column) for column in zip(*points, strict=True)) if points else ([],) * 3
    )
    found = cells_of(series(steps, values, times), axis=axis, lo=lo, hi=lo + span, width=width)
    at = 0 if axis == "step" else 1
    assert (found.x0, len(found)) == (lo // width * width, (lo + span) // width - lo // width + 1)
    for number in range(len(found)):
        first = found.x0 + number * width
        inside = sorted((p for p in points if first <= p[at] < first + width), key=lambda p: p[at])
        good = [value for _, _, value in inside if math.isfinite(value)]
        assert found.count[number] == len(inside)
        assert found.last_ns[number] == (inside[-1][1] if inside else 0)
        odd = [found.nan[number], found.pos_inf[number], found.neg_inf[number]]
        said = [repr(value) for _, _, value in inside]
        assert odd == [said.count("nan"), said.count("inf"), said.count("-inf")]
        told = [c[number] for c in (found.min, found.max, found.mean, found.last)]
        if good:
            assert told == [min(good), max(good), sum(good) / len(good), good[-1]]
        else:
            assert np.isnan(told).all()


def test_cells_reach_to_the_ends_of_what_a_step_can_be() -> None:
    most = 2**63 - 1
    steps = [-most - 1, -most, most - 1, most]
    found = cells_of(series(steps, [1.0, 2, 3, 4]), axis="step", lo=-most - 1, hi=most, width=2**62)
    assert found.count.tolist() == [2, 0, 0, 2]


def test_points_outside_the_window_are_left_out() -> None:
    found = cells_of(series([1, 9, 100], [1.0, 2.0, 3.0]), axis="step", lo=8, hi=9, width=2)
    assert found.x0 == 8
    assert found.count.tolist() == [1]


def test_a_later_attempt_replaces_from_its_first_step_on() -> None:
    joined = join_attempts(
        [series([0, 1, 2, 3], [0, 1, 2, 3]), series([2, 3], [20, 30]), series([3, 4], [300, 400])]
    )
    assert joined.steps.tolist() == [0, 1, 2, 3, 4]
    assert joined.values.tolist() == [0, 1, 20, 300, 400]


def test_an_attempt_that_begins_before_all_others_hides_them() -> None:
    joined = join_attempts([series([5], [5]), series([7], [7]), series([1], [1])])
    assert joined.steps.tolist() == [1]
