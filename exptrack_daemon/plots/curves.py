"""One metric ready to be drawn, from points or from cells: no minimum, maximum or NaN is lost. Pure.

Of few points each is drawn. Of many, each cell of the store's grid is one point of the line, its mean, and
the band around it reaches from the cell's lowest value to its highest. NaN and infinities stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from exptrack_daemon.store.series import Array, Axis, Cells, Series

ToX: TypeAlias = Callable[[Array], Array]
"""From steps or Unix nanoseconds (int64) to places on the x axis (float64)."""
Gaps: TypeAlias = tuple[tuple[float, float], ...]

MOST_EXACT = 2_000
"""Points of a curve that are drawn one by one."""
CELLS = 1_000
"""At most so many stand for more."""
USUAL_SMOOTH = 0.02
_MOST_MARKS = 400
_LEAST_SMOOTHED = 20
_LEAST_FOR_GAPS = 8
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one run. Arrays are float64; those of one line have one length."""

    x: Array = field(default_factory=lambda: _NONE)
    """Rising."""
    y: Array = field(default_factory=lambda: _NONE)
    """Finite: the values, or the means of cells."""
    low: Array | None = None
    """The lowest value of each cell; None: `y` is every value."""
    high: Array | None = None
    odd_x: Array = field(default_factory=lambda: _NONE)
    odd_y: Array = field(default_factory=lambda: _NONE)
    """NaN and infinities; of very many each stretch's first."""
    points: int = 0
    """Points that it stands for, finite or not."""
    odd_points: int = 0
    gaps: Gaps = ()
    """Stretches of x without a point, much longer than the usual distance."""
    breaks: Array = field(default_factory=lambda: _NONE)
    """Places where nothing is finite: the line does not go on across them."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def is_thinned(self) -> bool:
        return self.low is not None

    @property
    def lowest(self) -> Array:
        return self.y if self.low is None else self.low

    @property
    def highest(self) -> Array:
        return self.y if self.high is None else self.high


def of_series(series: Series, axis: Axis, to_x: ToX) -> Curve:
    """Every point; of several at one step the last one."""
    places = series.steps if axis == "step" else series.times_ns
    order = np.argsort(places, kind="stable")
    places, values = places[order], series.values[order]
    if axis == "step" and len(places):
        is_last = np.append(places[1:] != places[:-1], True)
        places, values = places[is_last], values[is_last]
    x = to_x(places)
    is_finite = np.isfinite(values)
    marks = _first_of_each(x[~is_finite], values[~is_finite])
    return Curve(
        x=x[is_finite],
        y=values[is_finite],
        odd_x=x[~is_finite][marks],
        odd_y=values[~is_finite][marks],
        points=len(values),
        odd_points=int((~is_finite).sum()),
        gaps=_gaps(x),
        breaks=x[~is_finite],
    )


def of_cells(cells: Cells, lo: int, hi: int, to_x: ToX) -> Curve:
    """Means of cells and how far their values reach, at the cells' middles; the outer two at lo and hi."""
    x = to_x(middles_of(cells, lo, hi))
    has_finite = np.isfinite(cells.mean)
    has_points = cells.count > 0
    kinds = ((cells.nan, np.nan), (cells.pos_inf, np.inf), (cells.neg_inf, -np.inf))
    odd_x = np.concatenate([x[counts > 0] for counts, _ in kinds])
    odd_y = np.concatenate([np.full(int((counts > 0).sum()), value) for counts, value in kinds])
    order = np.argsort(odd_x, kind="stable")
    odd_x, odd_y = odd_x[order], odd_y[order]
    marks = _first_of_each(odd_x, odd_y)
    is_exact = cells.width == 1
    return Curve(
        x=x[has_finite],
        y=(cells.last if is_exact else cells.mean)[has_finite],
        low=None if is_exact else cells.min[has_finite],
        high=None if is_exact else cells.max[has_finite],
        odd_x=odd_x[marks],
        odd_y=odd_y[marks],
        points=int(cells.count.sum()),
        odd_points=int(sum(counts.sum() for counts, _ in kinds)),
        gaps=_gaps(x[has_points]),
        breaks=x[has_points & ~has_finite],
    )


def middles_of(cells: Cells, lo: int, hi: int) -> Array:
    """int64: where cells are drawn, the outer two at lo and hi: the axis ends where the series does."""
    starts = cells.x0 + cells.width * np.arange(len(cells), dtype=np.int64)
    middles: Array = np.clip(starts + cells.width // 2, lo, hi)
    middles[0], middles[-1] = lo, hi
    return middles


def smoothed(curve: Curve, share: float) -> Array | None:
    """Y averaged to both sides over this share of the x axis, gap by gap; None: too few points.

    What lies `d` away weighs `exp(-d / tau)` with tau = share · width / 2, before and after alike, so the
    line does not lag behind as an average of the past does. At the ends only one side has points.
    """
    x, y = curve.x, curve.y
    if share <= 0 or len(x) < _LEAST_SMOOTHED or x[-1] <= x[0]:
        return None
    apart = np.diff(x)
    tau = max(share * float(x[-1] - x[0]) / 2, float(np.median(apart)))
    keep = np.exp(-apart / tau)
    keep[np.searchsorted(x, [after for _, after in curve.gaps]) - 1] = 0.0
    before, weight_before = _one_sided(keep, y)
    after, weight_after = _one_sided(keep[::-1], y[::-1])
    smooth: Array = (before + after[::-1] - y) / (weight_before + weight_after[::-1] - 1)
    return smooth


def _one_sided(keep: Array, y: Array) -> tuple[Array, Array]:
    """The weighted sums of each value and all before it, and the sums of the weights."""
    sums, weights = np.empty(len(y)), np.empty(len(y))
    total = weight = 0.0
    for at, (old, value) in enumerate(zip([0.0, *keep.tolist()], y.tolist(), strict=True)):
        total, weight = old * total + value, old * weight + 1
        sums[at], weights[at] = total, weight
    return sums, weights


def broken(curve: Curve, y: Array) -> tuple[Array, Array]:
    """X and y with a NaN wherever a line must not go on: in gaps, and where nothing was finite."""
    between = [(before + after) / 2 for before, after in curve.gaps]
    at = np.concatenate([np.array(between), curve.breaks])
    at.sort()
    where = np.searchsorted(curve.x, at)
    return np.insert(curve.x, where, at), np.insert(y, where, np.nan)


def lone(curve: Curve) -> Array:
    """Where points stand that no line leads to or from: a line alone would not show them."""
    x, y = broken(curve, curve.y)
    is_missing = np.append(np.append(True, np.isnan(y)), True)
    at = np.flatnonzero(~is_missing[1:-1] & is_missing[:-2] & is_missing[2:])
    return np.searchsorted(curve.x, x[at])


def clipped_to_positive(curve: Curve) -> tuple[Curve, int]:
    """What a logarithmic axis can show, and how many drawn points it can't."""
    keep = curve.y > 0
    low = None if curve.low is None else np.where(curve.low > 0, curve.low, curve.y)[keep]
    high = None if curve.high is None else curve.high[keep]
    kept = replace(curve, x=curve.x[keep], y=curve.y[keep], low=low, high=high)
    return kept, int((~keep).sum())


def _first_of_each(x: Array, values: Array) -> Array:
    """Where the first NaN, +inf and -inf of each stretch stand."""
    if len(x) <= _MOST_MARKS:
        return np.arange(len(x))
    kind = np.where(np.isnan(values), 0, np.where(values > 0, 1, 2))
    stretch = ((x - x[0]) / max(float(x[-1] - x[0]), 1e-300) * _MOST_MARKS).astype(np.int64)
    _, first = np.unique(stretch * 3 + kind, return_index=True)
    return np.sort(first)


def _gaps(x: Array) -> Gaps:
    if len(x) < _LEAST_FOR_GAPS:
        return ()
    apart = np.diff(x)
    least = max(8 * float(np.quantile(apart, 0.9)), 0.01 * float(x[-1] - x[0]))
    return tuple((float(x[at]), float(x[at + 1])) for at in np.flatnonzero(apart > least))
