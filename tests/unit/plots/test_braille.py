"""Charts of characters: every dot where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.plots.braille import chart


def text_of(*lines, columns=4, rows=2, **options) -> list[str]:
    held = [(np.asarray(x, float), np.asarray(y, float)) for x, y in lines]
    drawn = chart(held, columns=columns, rows=rows, **options)
    return ["".join(piece for piece, _ in row) for row in drawn.rows]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right():
    assert text_of((range(8), range(8))) == ["  ⡠⠊", "⡠⠊  "]


def test_a_level_line_stands_in_the_middle_and_one_point_too():
    assert text_of(([0, 7], [5, 5])) == ["⣀⣀⣀⣀", "    "]
    assert text_of(([3], [5])) == ["  ⡀ ", "    "]


def test_nan_breaks_a_line():
    assert text_of(([0, 1, 6, 7], [1, np.nan, np.nan, 1])) == ["⡀  ⢀", "    "]


def test_the_later_line_gives_the_colour_where_lines_cross():
    drawn = chart([(np.array([0, 7]), np.array([0, 7]))] * 2, columns=4, rows=2)
    assert {line for row in drawn.rows for _, line in row} == {-1, 1}


def test_the_ends_are_told_also_on_a_logarithmic_chart():
    drawn = chart([(np.arange(3.0), np.array([1e-3, -1.0, 1e3]))], columns=9, rows=4, log=True)
    assert (drawn.low, drawn.high) == pytest.approx((1e-3, 1e3))
    assert (drawn.first, drawn.last) == (0, 2)


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf]])
def test_without_a_finite_point_there_is_no_chart(values):
    assert chart([(np.arange(len(values)), np.array(values))], columns=4, rows=2) is None


@pytest.mark.parametrize("values", [[1e308, -1e308], [5e-324, 0], [1, 1 + 1e-15]])
def test_values_however_large_or_near(values):
    drawn = chart([(np.array([0, 1]), np.array(values, float))], columns=4, rows=2)
    assert any(piece.strip() for row in drawn.rows for piece, _ in row)
