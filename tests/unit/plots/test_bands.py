"""Means, medians and intervals over runs."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.plots.bands import band_of, t975

ROWS = np.array([[1.0, 2.0, np.nan], [2.0, 4.0, np.nan], [3.0, 9.0, 5.0], [6.0, np.nan, np.nan]])


def test_the_interval_of_the_mean_is_students():
    band = band_of(ROWS, "mean", "ci95")
    assert band.centre.tolist() == [3.0, 5.0, 5.0]
    # by hand: s = 2.1602, t(3) = 3.1824
    assert band.high[0] - 3.0 == pytest.approx(3.18245 * 2.160247 / 2, rel=1e-5)
    assert band.low[1] == pytest.approx(5 - 4.30265 * 3.605551 / 3**0.5, rel=1e-5)
    assert band.runs.tolist() == [4, 3, 1]


def test_one_run_has_no_interval():
    for interval in ("ci95", "iqr", "minmax"):
        band = band_of(ROWS, "mean", interval)
        assert np.isnan([band.low[2], band.high[2]]).all()


def test_quartiles_and_extremes():
    band = band_of(ROWS, "median", "iqr")
    assert (band.centre[0], band.low[0], band.high[0]) == (2.5, 1.75, 3.75)
    band = band_of(ROWS, "median", "minmax")
    assert (band.low[0], band.high[0]) == (1.0, 6.0)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (1000, 1.9623)],
)  # fmt: skip
def test_quantiles_of_student(freedom, quantile):
    assert t975(np.array([freedom]))[0] == pytest.approx(quantile, rel=1e-3)


def test_the_interval_holds_the_mean_about_95_times_of_100():
    rng = np.random.default_rng(0)
    band = band_of(rng.standard_normal((4, 4_000)), "mean", "ci95")
    assert 0.94 < ((band.low < 0) & (band.high > 0)).mean() < 0.96


def test_nothing_at_all():
    band = band_of(np.full((3, 2), np.nan), "median", "iqr")
    assert np.isnan(band.centre).all()
