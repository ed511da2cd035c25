"""What several runs have in common: mean or median of them, and an interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exptrack_daemon.plots.options import Centre, Interval
from exptrack_daemon.store.series import Array

NAMES: Mapping[Interval, str] = {
    "ci95": "95 % CI of the mean (Student's t)",
    "iqr": "quartiles (25 % to 75 %)",
    "minmax": "lowest to highest",
}
_Z = 1.959963984540054
_FIRST_T = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624)
"""The 97.5 % quantile of Student's t of 1 to 7 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Band:
    """One group of runs over a grid. float64 arrays of one length."""

    centre: Array
    low: Array
    high: Array
    """NaN (so is low) where there are fewer than two runs: one run has no spread."""
    runs: Array
    """How many runs there are at each place."""


def band_of(rows: Array, centre: Centre, interval: Interval) -> Band:
    """The band over rows [runs, places], in which NaN means that a run has nothing there.

    `ci95` is mean ± t(0.975, n − 1) · s / √n with the sample standard deviation s (Student 1908; NIST and
    SEMATECH e-Handbook 1.3.5.2): it says where the mean lies, not where runs lie, and takes them as
    independent and about normal. `iqr` are the quartiles, linear between runs (Hyndman and Fan 1996, type 7).
    """
    present = ~np.isnan(rows)
    runs = present.sum(axis=0)
    filled = np.where(present, rows, 0.0)
    mean = np.divide(filled.sum(axis=0), runs, out=np.full(rows.shape[1], np.nan), where=runs > 0)
    middle = mean if centre == "mean" else _quantile(rows, 0.5)
    if interval == "ci95":
        apart = np.where(present, rows - mean, 0.0)
        variance = (apart**2).sum(axis=0) / np.maximum(runs - 1, 1)
        reach = t975(runs - 1) * np.sqrt(variance / np.maximum(runs, 1))
        low, high = mean - reach, mean + reach
    elif interval == "iqr":
        low, high = _quantile(rows, 0.25), _quantile(rows, 0.75)
    else:
        low, high = _quantile(rows, 0.0), _quantile(rows, 1.0)
    low, high = (np.where(runs > 1, edge, np.nan) for edge in (low, high))
    return Band(middle, low, high, runs)


def _quantile(rows: Array, share: float) -> Array:
    has_any = ~np.isnan(rows).all(axis=0)
    found = np.full(rows.shape[1], np.nan)
    if has_any.any():
        found[has_any] = np.nanquantile(rows[:, has_any], share, axis=0)
    return found


def t975(freedom: Array) -> Array:
    """The 97.5 % quantile of Student's t; right to 0.02 % for any degrees of freedom.

    From the eighth on the expansion of Cornish and Fisher around the normal's (Abramowitz and Stegun 26.7.5).
    """
    v, z = np.maximum(np.asarray(freedom, float), 1.0), _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    expansion = z + first / v + second / v**2 + third / v**3
    exact = np.array(_FIRST_T)[np.clip(v, 1, len(_FIRST_T)).astype(int) - 1]
    quantiles: Array = np.where(v <= len(_FIRST_T), exact, expansion)
    return quantiles
