"""Curves of several runs at common places."""

from __future__ import annotations

import numpy as np

from exptrack_daemon.plots.curves import Curve
from exptrack_daemon.plots.grids import MOST_PLACES, grid_of_curves


def curve(x, y, odd=()):
    return Curve(x=np.array(x, float), y=np.array(y, float), odd_x=np.array(odd, float))


def test_few_places_stay_as_they_are_and_a_run_goes_straight_on_between_its_own():
    grid = grid_of_curves([curve([0, 2], [1, 3]), curve([1, 3], [5, 9], [2.5]), Curve()])
    assert grid.places.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(grid.rows, [[1, 2, 3, np.nan], [np.nan, 5, 7, 9], [np.nan] * 4])
    assert (grid.odd.tolist(), grid.width) == ([2.5], 0)


def test_very_many_places_become_cells_whose_means_keep_the_sum():
    x = np.linspace(0, 100, 10 * MOST_PLACES)
    grid = grid_of_curves([curve(x, x), curve(x[::3] + 0.001, np.ones(len(x[::3])))])
    assert len(grid.places) == MOST_PLACES
    assert abs(grid.width - 100 / MOST_PLACES) < 1e-3
    assert np.abs(grid.rows[0] - grid.places).max() < grid.width / 2
    assert set(grid.rows[1].tolist()) == {1.0}


def test_runs_without_a_finite_value_leave_nothing():
    grid = grid_of_curves([Curve(), curve([], [], [7])])
    assert (grid.rows.shape, grid.odd.tolist()) == ((2, 0), [7])
