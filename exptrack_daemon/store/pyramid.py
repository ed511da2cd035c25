"""Cells of a series, precomputed at several widths, and the grid in which readers sum them up. Pure.

A level holds the non-empty cells of one series at one power-of-two width, aligned at 0, over step or over
time. The finest has about one cell for 128 points, each further one is 8 times as wide, until few are left.
A reader takes the widest level that is not wider than the cells it was asked for, so every extreme of every
point is in what it shows, and what it reads is bounded by what it shows.

Cells of several parts meet in a `Grid`. Which point is a cell's last is decided by (x, step), then by order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from exptrack_daemon.store.series import Array, Axis, Cells

CELL_POINTS = 128
LEAST_SHIFT = 6
LEVEL_SHIFT = 3
_FEW_CELLS = 256


@dataclass(frozen=True, slots=True)
class CellRows:
    """Non-empty cells in ascending order. All arrays have one length."""

    cell: Array
    """int64: x // width"""
    count: Array
    """int64: all points; NaN and the infinities are counted beside"""
    nan: Array
    pos_inf: Array
    neg_inf: Array
    min: Array
    """float64: of the finite points, NaN where there is none (so are max and last); sum is 0 there"""
    max: Array
    sum: Array
    last: Array
    last_x: Array
    """int64: where the last finite point stands (0 where there is none), and its step"""
    last_step: Array
    end_x: Array
    """int64: where the last point of all stands, its step, and when it was logged"""
    end_step: Array
    end_ns: Array

    @property
    def finite(self) -> Array:
        return self.count - self.nan - self.pos_inf - self.neg_inf

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, which: slice | Array) -> CellRows:
        return CellRows(*(getattr(self, field.name)[which] for field in fields(self)))


def rows_of_points(
    steps: Array, times_ns: Array, values: Array, axis: Axis, shift: int
) -> CellRows:
    """The cells of width 2**shift that points of one series fill; they come by step, then as logged."""
    x = steps if axis == "step" else times_ns
    if np.any(np.diff(x) < 0):
        order = np.argsort(x, kind="stable")
        x, steps, times_ns, values = x[order], steps[order], times_ns[order], values[order]
    if not len(x):
        return _none()
    cell = x >> shift
    starts = np.flatnonzero(np.diff(cell, prepend=cell[0] - 1))
    finite = np.isfinite(values)
    good = np.where(finite, values, np.nan)
    ends = np.append(starts[1:], len(x)) - 1
    last = np.maximum.reduceat(np.where(finite, np.arange(len(x)), -1), starts)
    is_there = last >= 0
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduceat(np.where(finite, values, 0.0), starts)
    nan, pos_inf, neg_inf = (
        np.add.reduceat(is_odd(values).astype(np.int64), starts)
        for is_odd in (np.isnan, np.isposinf, np.isneginf)
    )
    return CellRows(
        cell[starts],
        ends - starts + 1,
        nan,
        pos_inf,
        neg_inf,
        np.fmin.reduceat(good, starts),
        np.fmax.reduceat(good, starts),
        total,
        np.where(is_there, values[last], np.nan),
        np.where(is_there, x[last], 0),
        np.where(is_there, steps[last], 0),
        x[ends],
        steps[ends],
        times_ns[ends],
    )


def coarser(rows: CellRows, shift: int) -> CellRows:
    """The same in cells that are 2**shift times as wide."""
    if shift == 0 or not len(rows):
        return rows
    cell = rows.cell >> shift
    starts = np.flatnonzero(np.diff(cell, prepend=cell[0] - 1))
    ends = np.append(starts[1:], len(cell)) - 1
    last = np.maximum.reduceat(np.where(rows.finite > 0, np.arange(len(cell)), -1), starts)
    with np.errstate(over="ignore", invalid="ignore"):
        count, nan, pos_inf, neg_inf, total = (
            np.add.reduceat(column, starts)
            for column in (rows.count, rows.nan, rows.pos_inf, rows.neg_inf, rows.sum)
        )
    at = np.where(last >= 0, last, ends)
    return CellRows(
        cell[starts],
        count,
        nan,
        pos_inf,
        neg_inf,
        np.fmin.reduceat(rows.min, starts),
        np.fmax.reduceat(rows.max, starts),
        total,
        rows.last[at],
        rows.last_x[at],
        rows.last_step[at],
        rows.end_x[ends],
        rows.end_step[ends],
        rows.end_ns[ends],
    )


def levels_of(
    steps: Array, times_ns: Array, values: Array, axis: Axis
) -> Iterator[tuple[int, CellRows]]:
    """The levels of one series, finest first, each with the power of its width."""
    x = steps if axis == "step" else times_ns
    if not len(x):
        return
    lo, hi = int(x.min()), int(x.max())
    most = len(x) // CELL_POINTS + 2  # the first and the last cell may be cut
    shift = LEAST_SHIFT
    while (hi >> shift) - (lo >> shift) + 1 > most and shift < 62:
        shift += 1
    rows = rows_of_points(steps, times_ns, values, axis, shift)
    yield shift, rows
    while len(rows) > _FEW_CELLS and shift + LEVEL_SHIFT < 62:
        shift += LEVEL_SHIFT
        rows = coarser(rows, LEVEL_SHIFT)
        yield shift, rows


class Grid:
    """The cells of width 2**shift from `first` on, summed up from whatever holds parts of them."""

    def __init__(self, first: int, cells: int, shift: int) -> None:
        self.first, self.shift = first, shift
        self._count, self._nan, self._pos, self._neg = (np.zeros(cells, np.int64) for _ in range(4))
        self._min, self._max, self._last = (np.full(cells, np.nan) for _ in range(3))
        self._sum = np.zeros(cells)
        least = np.iinfo(np.int64).min
        self._last_at, self._end_at = (np.full((2, cells), least, np.int64) for _ in range(2))
        self._end_ns = np.zeros(cells, np.int64)

    def __len__(self) -> int:
        return len(self._count)

    def add_points(self, steps: Array, times_ns: Array, values: Array, axis: Axis) -> None:
        """Points of one series, by step; those outside are passed over. What comes later, wins ties."""
        self._fold(rows_of_points(steps, times_ns, values, axis, self.shift))

    def add_cells(self, rows: CellRows, shift: int) -> None:
        """Cells of a finer level, or of this width."""
        self._fold(coarser(rows, self.shift - shift))

    def _fold(self, rows: CellRows) -> None:
        inside = (rows.cell >= self.first) & (rows.cell < self.first + len(self))
        rows = rows.take(inside)
        at = rows.cell - self.first
        self._count[at] += rows.count
        self._nan[at] += rows.nan
        self._pos[at] += rows.pos_inf
        self._neg[at] += rows.neg_inf
        self._min[at] = np.fmin(self._min[at], rows.min)
        self._max[at] = np.fmax(self._max[at], rows.max)
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum[at] += rows.sum
        later = (rows.finite > 0) & _is_later(rows.last_x, rows.last_step, self._last_at[:, at])
        self._last[at[later]] = rows.last[later]
        self._last_at[:, at[later]] = rows.last_x[later], rows.last_step[later]
        later = _is_later(rows.end_x, rows.end_step, self._end_at[:, at])
        self._end_ns[at[later]] = rows.end_ns[later]
        self._end_at[:, at[later]] = rows.end_x[later], rows.end_step[later]

    def cells(self) -> Cells:
        """As readers take them."""
        finite = self._count - self._nan - self._pos - self._neg
        mean = np.full(len(self), np.nan)
        np.divide(self._sum, finite, out=mean, where=finite > 0)
        width = 1 << self.shift
        return Cells(
            *(self.first * width, width, self._count, self._min, self._max, mean, self._last),
            *(self._end_ns, self._nan, self._pos, self._neg),
        )


def _is_later(x: Array, step: Array, held: Array) -> Array:
    return np.asarray((x > held[0]) | ((x == held[0]) & (step >= held[1])))


def _none() -> CellRows:
    whole, real = np.empty(0, np.int64), np.empty(0)
    return CellRows(*(whole,) * 5, *(real,) * 4, *(whole,) * 5)
