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
    if np.any(x[1:] < x[:-1]):
        order = np.argsort(x, kind="stable")
        x, steps, times_ns, values = x[order], steps[order], times_ns[order], values[order]
    if not len(x):
        return _none()
    cell = x >> shift
    starts = _starts(cell)
    ends = np.append(starts[1:], len(x)) - 1
    finite = np.isfinite(values)
    if finite.all():
        last, good = ends, values
        nan = pos_inf = neg_inf = np.zeros(len(starts), np.int64)
    else:
        last = np.maximum.reduceat(np.where(finite, np.arange(len(x)), -1), starts)
        good = np.where(finite, values, np.nan)
        nan, pos_inf, neg_inf = (
            np.add.reduceat(is_odd(values).astype(np.int64), starts)
            for is_odd in (np.isnan, np.isposinf, np.isneginf)
        )
    is_there = last >= 0
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduceat(np.where(finite, values, 0.0), starts)
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


def _starts(cell: Array) -> Array:
    """Where equal neighbours begin."""
    return np.concatenate([[0], np.flatnonzero(cell[1:] != cell[:-1]) + 1])


def coarser(rows: CellRows, shift: int) -> CellRows:
    """The same in cells that are 2**shift times as wide."""
    return rows if shift == 0 else _summed(rows, rows.cell >> shift)


def _summed(rows: CellRows, cell: Array) -> CellRows:
    """Neighbours that come to lie in one cell, as one."""
    if not len(rows):
        return rows
    starts = _starts(cell)
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
    """Lines of cells of width 2**shift from `first` on, summed up from whatever holds parts of them."""

    def __init__(self, first: int, cells: int, shift: int, lines: int = 1) -> None:
        self.first, self.shift = first, shift
        self._cells = cells
        slots = lines * cells
        self._count, self._nan, self._pos, self._neg = (np.zeros(slots, np.int64) for _ in range(4))
        self._min, self._max, self._last = (np.full(slots, np.nan) for _ in range(3))
        self._sum = np.zeros(slots)
        least = np.iinfo(np.int64).min
        self._last_at, self._end_at = (np.full((2, slots), least, np.int64) for _ in range(2))
        self._end_ns = np.zeros(slots, np.int64)

    def __len__(self) -> int:
        """Cells of a line."""
        return self._cells

    @property
    def lo(self) -> int:
        """Where the first cell begins."""
        return self.first << self.shift

    @property
    def hi(self) -> int:
        """Where the last cell ends; included."""
        return ((self.first + self._cells) << self.shift) - 1

    def add_points(
        self, steps: Array, times_ns: Array, values: Array, axis: Axis, line: int = 0
    ) -> None:
        """Points of one series, by step; those outside are passed over. What comes later, wins ties."""
        x = steps if axis == "step" else times_ns
        if len(x) and (x[0] < self.lo or x[-1] > self.hi or axis == "time"):
            which = (x >= self.lo) & (x <= self.hi)
            if not which.all():
                steps, times_ns, values = steps[which], times_ns[which], values[which]
        rows = rows_of_points(steps, times_ns, values, axis, self.shift)
        self._fold(rows, rows.cell - self.first + line * self._cells)

    def add_cells(self, rows: CellRows, shifts: Array | int, lines: Array | int = 0) -> None:
        """Cells of a finer level, or of this width; of several lines one after the other."""
        cell = (rows.cell >> (self.shift - shifts)) - self.first
        inside = (cell >= 0) & (cell < self._cells)
        at = (cell + lines * self._cells)[inside]
        rows = _summed(rows.take(inside), at)
        self._fold(rows, at[_starts(at)] if len(at) else at)

    def _fold(self, rows: CellRows, at: Array) -> None:
        """Each cell at a place of its own."""
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

    def cells(self, line: int = 0) -> Cells:
        """One line as readers take it."""
        at = slice(line * self._cells, (line + 1) * self._cells)
        finite = (self._count - self._nan - self._pos - self._neg)[at]
        mean = np.full(len(self), np.nan)
        np.divide(self._sum[at], finite, out=mean, where=finite > 0)
        odd = (self._nan[at], self._pos[at], self._neg[at])
        return Cells(
            *(self.lo, 1 << self.shift, self._count[at], self._min[at], self._max[at], mean),
            *(self._last[at], self._end_ns[at], *odd),
        )


def _is_later(x: Array, step: Array, held: Array) -> Array:
    return np.asarray((x > held[0]) | ((x == held[0]) & (step >= held[1])))


def _none() -> CellRows:
    whole, real = np.empty(0, np.int64), np.empty(0)
    return CellRows(*(whole,) * 5, *(real,) * 4, *(whole,) * 5)
