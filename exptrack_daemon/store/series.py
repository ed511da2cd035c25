"""Series as readers take them: raw points, and cells of a grid that keep every extreme. Pure.

A series is one metric of one rank of a run. Where a later attempt logged again what an earlier one had, the
earlier attempt's points from the later one's first step on are left out; every point of what remains stands,
ordered by step and, within a step, as logged.

Cells: a grid of equal power-of-two widths, aligned at 0, so that any two series of one width share their x, a
live series only changes at its end, and a coarser level is made of whole finer cells. Empty cells are part of
the grid. NaN and infinities are counted beside the finite statistics and never mixed into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Axis: TypeAlias = Literal["step", "time"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What there is of one metric of a run, over all ranks and attempts."""

    name: str
    points: int
    ranks: tuple[int, ...]
    first_step: int
    last_step: int
    first_ns: int
    last_ns: int
    is_system: bool = False
    """Sampled by the daemon; its steps count samples, not training steps, so align it by time."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one series, by step. Three arrays of one length."""

    name: str
    rank: int
    steps: Array
    """int64"""
    times_ns: Array
    """int64, Unix nanoseconds"""
    values: Array
    """float64; integers beyond 2**53 are rounded, true and false are 1 and 0"""

    def __len__(self) -> int:
        return len(self.steps)

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` of step, time (timestamp, UTC) and value."""
        import pyarrow as pa

        times = pa.array(self.times_ns).view(pa.timestamp("ns", tz="UTC"))
        return pa.table({"step": self.steps, "time": times, "value": self.values})

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """The same as a `polars.DataFrame`."""
        import polars

        return polars.from_arrow(self.to_arrow())


@dataclass(frozen=True, slots=True)
class Cells:
    """One series on a grid: cell i covers x from `x0 + i * width` to just before the next cell's start."""

    x0: int
    """A multiple of width. Steps, or Unix nanoseconds."""
    width: int
    """A power of two."""
    count: Array
    """int64: all points in the cell, non-finite ones too"""
    min: Array
    """float64, of the finite points; NaN where there is none (so are max, mean and last)"""
    max: Array
    mean: Array
    last: Array
    """The value of the cell's last finite point."""
    last_ns: Array
    """int64: when the cell's last point was logged; 0 where there is none"""
    nan: Array
    """int64 counts (so are the infinities')"""
    pos_inf: Array
    neg_inf: Array

    def __len__(self) -> int:
        return len(self.count)


def width_for(lo: int, hi: int, cells: int) -> int:
    """The smallest power of two whose aligned grid covers [lo, hi] with at most `cells` cells (≥ 2)."""
    width = 1
    while hi // width - lo // width + 1 > max(2, cells):
        width *= 2
    return width


def cells_of(series: Series, *, axis: Axis, lo: int, hi: int, width: int) -> Cells:
    """The series on the grid of this width that covers lo to hi (both included)."""
    x = series.steps if axis == "step" else series.times_ns
    times, values = series.times_ns, series.values
    if axis == "time" and np.any(x[1:] < x[:-1]):
        order = np.argsort(x, kind="stable")
        x, times, values = x[order], times[order], values[order]
    first = lo // width
    n = hi // width - first + 1
    bounds = np.empty(n + 1, np.int64)
    bounds[:-1] = np.searchsorted(x, (first + np.arange(n)) * width)
    bounds[-1] = np.searchsorted(x, (first + n) * width - 1, side="right")
    begin, end = bounds[0], bounds[-1]
    return _cells_between(first * width, width, bounds - begin, times[begin:end], values[begin:end])


def _cells_between(x0: int, width: int, bounds: Array, times: Array, values: Array) -> Cells:
    """Cells of points by x; cell i has those from `bounds[i]` to before `bounds[i + 1]`."""
    is_finite = np.isfinite(values)
    odd = np.flatnonzero(~is_finite)
    nan, pos_inf, neg_inf = (
        np.diff(np.searchsorted(odd[is_kind(values[odd])], bounds))
        for is_kind in (np.isnan, np.isposinf, np.isneginf)
    )
    good = values[is_finite] if len(odd) else values
    edges = bounds - np.searchsorted(odd, bounds)
    low, high, mean, last = (np.full(len(bounds) - 1, np.nan) for _ in range(4))
    filled = np.flatnonzero(np.diff(edges))
    if len(filled):
        starts, ends = edges[filled], edges[filled + 1]
        low[filled] = np.minimum.reduceat(good, starts)
        high[filled] = np.maximum.reduceat(good, starts)
        with np.errstate(over="ignore", invalid="ignore"):
            mean[filled] = np.add.reduceat(good, starts) / (ends - starts)
        last[filled] = good[ends - 1]
    count = np.diff(bounds)
    last_ns = np.zeros(len(count), np.int64)
    filled = np.flatnonzero(count)
    last_ns[filled] = times[bounds[filled + 1] - 1]
    return Cells(x0, width, count, low, high, mean, last, last_ns, nan, pos_inf, neg_inf)


def join_attempts(pieces: Sequence[Series]) -> Series:
    """One series of its attempts, in order: each later one replaces what stood from its first step on."""
    kept: list[Series] = []
    until: int | None = None
    for piece in reversed(pieces):
        if len(piece) == 0:
            continue
        keep = slice(None) if until is None else piece.steps < until
        kept.append(
            Series(
                piece.name, piece.rank, piece.steps[keep], piece.times_ns[keep], piece.values[keep]
            )
        )
        first = int(piece.steps.min())
        until = first if until is None else min(until, first)
    kept.reverse()
    if not kept:
        return empty(pieces[0].name, pieces[0].rank) if pieces else empty("", 0)
    steps, times, values = (
        np.concatenate([getattr(piece, column) for piece in kept])
        for column in ("steps", "times_ns", "values")
    )
    order = np.argsort(steps, kind="stable")
    return Series(kept[0].name, kept[0].rank, steps[order], times[order], values[order])


def empty(name: str, rank: int) -> Series:
    none = np.empty(0, np.int64)
    return Series(name, rank, none, none, np.empty(0))
