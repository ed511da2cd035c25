"""One metric of several runs at common places on the x axis. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exptrack_daemon.plots.curves import Curve, middles_of
from exptrack_daemon.store.series import Array, Cells

MOST_PLACES = 256


@dataclass(frozen=True, slots=True)
class Grid:
    """One metric of all runs on one grid."""

    places: Array
    """float64 [places]: steps, seconds or epochs at which some run has a value"""
    rows: Array
    """float64 [runs, places]: means of cells; between a run's own points straight on, NaN outside of them"""
    odd: Array
    """float64: the places at which some run is not finite"""
    width: float
    """How much of the x axis one place stands for; 0: it is a place at which a run has logged."""


def grid_of_cells(cells: Sequence[Cells | None], lo: int, hi: int) -> Grid:
    """Cells of one grid of steps as rows of one table; a run without cells is a row without values."""
    first = next(one for one in cells if one is not None)
    places = middles_of(first, lo, hi).astype(float)
    rows = np.array([np.full(len(first), np.nan) if one is None else one.mean for one in cells])
    is_odd = np.zeros(len(first), bool)
    for one in cells:
        if one is not None:
            is_odd |= one.nan + one.pos_inf + one.neg_inf > 0
    width = 0.0 if first.width == 1 else float(first.width)
    return _bridged(places, rows, places[is_odd], width)


def grid_of_curves(curves: Sequence[Curve]) -> Grid:
    """Curves over time or epochs: at their own places where these are few, else in cells of one width."""
    places, width = np.unique(np.concatenate([curve.x for curve in curves])), 0.0
    odd = np.unique(np.concatenate([curve.odd_x for curve in curves]))
    if len(places) <= MOST_PLACES:
        which = [np.searchsorted(places, curve.x) for curve in curves]
    else:
        first, width = places[0], (places[-1] - places[0]) / MOST_PLACES
        which = [
            np.clip(((curve.x - first) / width).astype(int), 0, MOST_PLACES - 1) for curve in curves
        ]
        places = first + width * (np.arange(MOST_PLACES) + 0.5)
    rows = [_means(curve.y, at, len(places)) for curve, at in zip(curves, which, strict=True)]
    return _bridged(places, np.array(rows), odd, width)


def _means(values: Array, which: Array, places: int) -> Array:
    counts = np.bincount(which, minlength=places)
    sums = np.bincount(which, weights=values, minlength=places)
    means: Array = np.divide(sums, counts, out=np.full(places, np.nan), where=counts > 0)
    return means


def _bridged(places: Array, rows: Array, odd: Array, width: float) -> Grid:
    """Between its own points a run goes straight on: not every seed logs at the same places."""
    has_any = ~np.isnan(rows).all(axis=0)
    filled = [_straight_on(places, row) for row in rows]
    return Grid(places[has_any], np.array(filled)[:, has_any], odd, width)


def _straight_on(places: Array, row: Array) -> Array:
    known = ~np.isnan(row)
    if not known.any():
        return row
    return np.interp(places, places[known], row[known], left=np.nan, right=np.nan)
