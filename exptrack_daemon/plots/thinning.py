"""Any number of points as few enough to draw: no minimum, maximum or non-finite stretch is lost. Pure.

Points come in pieces and are kept as they are up to `MOST_EXACT`. Past that the range of steps is cut into
buckets, and of each the first, lowest, highest and last point are kept; when more comes, what was kept is
cut again. A lowest point of all is the lowest of every bucket that it ever stands in, so it stays. Sums and
counts travel along, so that the mean of a bucket is that of all its points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MOST_EXACT = 100_000
BUCKETS = 1_000
_MOST_MARKS = 400
_SMOOTHED_SHARE = 0.02
_LEAST_SMOOTHED = 20
_LEAST_FOR_GAPS = 8
_NONE = np.empty(0)
_NO_STEPS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Line:
    """One metric, ready to be drawn."""

    points: int = 0
    """Points that it stands for, finite or not."""
    steps: Array = field(default_factory=lambda: _NO_STEPS)
    values: Array = field(default_factory=lambda: _NONE)
    """Finite ones, by step: all of them, or each bucket's first, lowest, highest and last."""
    smooth_steps: Array = field(default_factory=lambda: _NONE)
    smooth_values: Array = field(default_factory=lambda: _NONE)
    odd_steps: Array = field(default_factory=lambda: _NO_STEPS)
    odd_values: Array = field(default_factory=lambda: _NONE)
    """NaN and infinities; of very many each bucket's first."""
    odd_points: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches of steps without a point, much longer than the usual distance."""


class Thinner:
    """Takes the points of one metric, in the order of the journal."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Array, Array]] = []
        self._waiting_points = 0
        self._steps, self._values = _NO_STEPS, _NONE
        self._mean_steps, self._sums, self._counts = _NONE, _NONE, _NONE
        self._odd_steps, self._odd_values = _NO_STEPS, _NONE
        self._odd_points = 0
        self._points = 0
        self._is_exact = True

    def add(self, steps: Array, values: Array) -> None:
        self._waiting.append((steps, values))
        self._waiting_points += len(steps)
        if self._waiting_points > MOST_EXACT:
            self._take_waiting()

    def rewind(self, step: int) -> None:
        """A new attempt begins at this step: what stood there and later is no more."""
        self._take_waiting()
        keep = self._steps < step
        self._steps, self._values = self._steps[keep], self._values[keep]
        odd = self._odd_steps < step
        self._odd_steps, self._odd_values = self._odd_steps[odd], self._odd_values[odd]
        before = self._mean_steps < step
        self._mean_steps = self._mean_steps[before]
        self._sums, self._counts = self._sums[before], self._counts[before]
        self._odd_points = min(self._odd_points, len(self._odd_steps))
        self._points = int(self._counts.sum()) + self._odd_points

    def line(self) -> Line:
        self._take_waiting()
        steps, values = self._steps, self._values
        if self._is_exact and len(steps) > 4 * BUCKETS:
            kept = _extremes(steps, values)
            steps, values = steps[kept], values[kept]
        centres, means = self._means()
        every = np.union1d(steps, self._odd_steps)
        gaps = _gaps(every)
        smooth = _smoothed(centres, means, gaps)
        marks = _first_of_each(self._odd_steps, self._odd_values)
        return Line(
            points=self._points,
            steps=steps,
            values=values,
            smooth_steps=centres if len(smooth) else _NONE,
            smooth_values=smooth,
            odd_steps=self._odd_steps[marks],
            odd_values=self._odd_values[marks],
            odd_points=self._odd_points,
            gaps=gaps,
        )

    def _take_waiting(self) -> None:
        if not self._waiting:
            return
        steps = np.concatenate([steps for steps, _ in self._waiting])
        values = np.concatenate([values for _, values in self._waiting])
        self._waiting.clear()
        self._waiting_points = 0
        steps, values = _latest_by_step(steps, values)
        is_finite = np.isfinite(values)
        self._take_odd(steps[~is_finite], values[~is_finite])
        self._take_finite(steps[is_finite], values[is_finite])

    def _take_odd(self, steps: Array, values: Array) -> None:
        self._odd_points += len(steps)
        self._points += len(steps)
        all_steps = np.concatenate([self._odd_steps, steps])
        all_values = np.concatenate([self._odd_values, values])
        all_steps, all_values = _latest_by_step(all_steps, all_values)
        kept = _first_of_each(all_steps, all_values, 4 * _MOST_MARKS)
        self._odd_steps, self._odd_values = all_steps[kept], all_values[kept]

    def _take_finite(self, steps: Array, values: Array) -> None:
        before = len(self._steps)
        all_steps, all_values = _latest_by_step(
            np.concatenate([self._steps, steps]), np.concatenate([self._values, values])
        )
        repeated = before + len(steps) - len(all_steps)
        self._points += len(steps) - (repeated if self._is_exact else 0)
        if self._is_exact and len(all_steps) <= MOST_EXACT:
            self._steps, self._values = all_steps, all_values
            self._mean_steps, self._sums = all_steps.astype(float), all_values
            self._counts = np.ones(len(all_steps))
            return
        self._is_exact = False
        kept = _extremes(all_steps, all_values)
        self._steps, self._values = all_steps[kept], all_values[kept]
        self._mean_steps = np.concatenate([self._mean_steps, steps.astype(float)])
        self._sums = np.concatenate([self._sums, values])
        self._counts = np.concatenate([self._counts, np.ones(len(steps))])
        self._merge_means()

    def _merge_means(self) -> None:
        order = np.argsort(self._mean_steps, kind="stable")
        steps, sums, counts = self._mean_steps[order], self._sums[order], self._counts[order]
        starts = _starts(_buckets(steps, BUCKETS))
        totals = np.add.reduceat(counts, starts)
        self._mean_steps = np.add.reduceat(steps * counts, starts) / totals
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums = np.add.reduceat(sums, starts)
        self._counts = totals

    def _means(self) -> tuple[Array, Array]:
        if len(self._mean_steps) > 4 * BUCKETS:
            self._merge_means()
            self._is_exact = False
        return self._mean_steps, self._sums / np.maximum(self._counts, 1)


def _latest_by_step(steps: Array, values: Array) -> tuple[Array, Array]:
    """Sorted by step; of several at one step the one that came last."""
    if len(steps) > 1 and not np.all(steps[1:] > steps[:-1]):
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
        is_last = np.append(steps[1:] != steps[:-1], True)
        steps, values = steps[is_last], values[is_last]
    return steps, values


def _buckets(steps: Array, amount: int) -> Array:
    """The bucket of each step, rising."""
    if len(steps) == 0:
        return _NO_STEPS
    at = steps.astype(float)
    span = max(at[-1] - at[0], 1.0)
    buckets: Array = np.minimum((at - at[0]) / span * amount, amount - 1).astype(np.int64)
    return buckets


def _starts(buckets: Array) -> Array:
    starts: Array = np.flatnonzero(np.append(True, buckets[1:] != buckets[:-1]))
    return starts


def _extremes(steps: Array, values: Array) -> Array:
    """Where each bucket's first, lowest, highest and last point stand."""
    if len(steps) <= 4 * BUCKETS:
        return np.arange(len(steps))
    buckets = _buckets(steps, BUCKETS)
    starts = _starts(buckets)
    ends = np.append(starts[1:], len(steps)) - 1
    by_value = np.lexsort((values, buckets))
    kept: Array = np.unique(np.concatenate([starts, ends, by_value[starts], by_value[ends]]))
    return kept


def _first_of_each(steps: Array, values: Array, most: int = _MOST_MARKS) -> Array:
    """Where the first NaN, +inf and -inf of each bucket stand."""
    if len(steps) <= most:
        return np.arange(len(steps))
    kind = np.where(np.isnan(values), 0, np.where(values > 0, 1, 2))
    _, first = np.unique(_buckets(steps, most) * 3 + kind, return_index=True)
    return np.sort(first)


def _gaps(steps: Array) -> tuple[tuple[int, int], ...]:
    if len(steps) < _LEAST_FOR_GAPS:
        return ()
    distances = np.diff(steps.astype(float))
    usual = np.quantile(distances, 0.9)
    least = max(8 * usual, 0.01 * (float(steps[-1]) - float(steps[0])))
    return tuple((int(steps[at]), int(steps[at + 1])) for at in np.flatnonzero(distances > least))


def _smoothed(steps: Array, values: Array, gaps: tuple[tuple[int, int], ...]) -> Array:
    """An exponential average over 2 % of the points, begun anew after each gap."""
    if len(steps) < _LEAST_SMOOTHED or not np.all(np.isfinite(values)):
        return _NONE
    share = 2 / (max(3.0, _SMOOTHED_SHARE * len(steps)) + 1)
    begins = set(np.searchsorted(steps, [after for _, after in gaps]).tolist())
    smooth = np.empty(len(values))
    average = weight = 0.0
    for at, value in enumerate(values.tolist()):
        if at in begins:
            average = weight = 0.0
        average += share * (value - average)
        weight += share * (1 - weight)
        smooth[at] = average / weight
    return smooth
