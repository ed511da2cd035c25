"""Metrics, series and cells of a run from its parts, in the order of the journal.

Where a later attempt logged again what an earlier one had, the earlier one counts only before the later one's
first step (`series.join_attempts` says the same of points). So most slices of an earlier attempt count whole
or not at all; where the border falls inside one, its cells count up to the border and points fill the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from exptrack_daemon.store.columns import Points, SeriesKey, in_journal_order, without_sampler
from exptrack_daemon.store.parts import DiskPart, Level, MemoryPart, Raw, Slice
from exptrack_daemon.store.pyramid import Grid
from exptrack_daemon.store.series import Axis, Cells, Metric, Series, cells_of, empty

__all__ = [
    "Part",
    "Window",
    "cells_of_parts",
    "end_of_parts",
    "metrics_of_parts",
    "points_after",
    "series_of_parts",
    "without_sampler",
]

Part: TypeAlias = DiskPart | MemoryPart


class Window(NamedTuple):
    """Which cells are asked for."""

    axis: Axis
    lo: int
    hi: int
    """Included."""
    width: int


class _Piece(NamedTuple):
    """The points of one attempt in one part."""

    part: Part
    key: SeriesKey
    place: Slice
    until: int | None
    """Only the points before this step count; None: all."""

    @property
    def is_whole(self) -> bool:
        return self.until is None or self.place.last_step < self.until


def metrics_of_parts(parts: Sequence[Part]) -> list[Metric]:
    """All metrics that have numbers, by name; the sampler's after the trainers'."""
    found: dict[tuple[bool, str], list[tuple[int, Slice]]] = {}
    for part in parts:
        for key, place in part.slices.items():
            if key.is_number:
                held = found.setdefault((key.role != "trainer", key.name), [])
                held.append((key.rank, place))
    return [_metric(*key, held) for key, held in sorted(found.items(), key=lambda item: item[0])]


def _metric(is_system: bool, name: str, held: Sequence[tuple[int, Slice]]) -> Metric:
    places = [place for _, place in held]
    return Metric(
        name,
        sum(place.length for place in places),
        tuple(sorted({rank for rank, _ in held})),
        min(place.first_step for place in places),
        max(place.last_step for place in places),
        min(place.first_ns for place in places),
        max(place.last_ns for place in places),
        is_system,
    )


def series_of_parts(parts: Sequence[Part], name: str, rank: int, role: str) -> Series:
    """All points of one series that count, by step and, within a step, as logged."""
    raws = [_before(piece.part.raw(piece.key), piece) for piece in _pieces(parts, name, rank, role)]
    if not raws:
        return empty(name, rank)
    steps, times, values = (
        np.concatenate([getattr(raw, column) for raw in raws])
        for column in ("steps", "times_ns", "values")
    )
    if np.any(np.diff(steps) < 0):
        order = np.argsort(steps, kind="stable")
        steps, times, values = steps[order], times[order], values[order]
    return Series(name, rank, steps, times, values)


def cells_of_parts(parts: Sequence[Part], name: str, rank: int, role: str, window: Window) -> Cells:
    """The series on the grid of this width that covers the window."""
    axis, lo, hi, width = window
    if width & (width - 1):
        series = series_of_parts(parts, name, rank, role)
        return cells_of(series, axis=axis, lo=lo, hi=hi, width=width)
    shift = width.bit_length() - 1
    first = lo >> shift
    grid = Grid(first, (hi >> shift) - first + 1, shift)
    for piece in _pieces(parts, name, rank, role):
        _add(grid, piece, axis)
    return grid.cells()


def end_of_parts(parts: Sequence[Part]) -> int:
    """How many points the run has."""
    return max((part.end for part in parts), default=0)


def points_after(parts: Sequence[Part], since: int, until: int) -> tuple[int, Points]:
    """The points of the next part, from one ordinal on and before another, as logged; and where to go on."""
    part = next(part for part in parts if part.end > since)
    return min(part.end, until), in_journal_order(part.points(), since, until)


def _pieces(parts: Sequence[Part], name: str, rank: int, role: str) -> Iterator[_Piece]:
    """What counts of a series: attempt by attempt, and within each in the order of the journal."""
    attempts: dict[int, list[tuple[Part, SeriesKey, Slice]]] = {}
    for part in parts:
        for key, place in part.series(role, rank, name):
            attempts.setdefault(key.attempt, []).append((part, key, place))
    kept: list[list[_Piece]] = []
    until: int | None = None
    for attempt in sorted(attempts, reverse=True):
        held = attempts[attempt]
        pieces = (_Piece(*found, until) for found in held)
        kept.append([p for p in pieces if until is None or p.place.first_step < until])
        first = min(place.first_step for _, _, place in held)
        until = first if until is None else min(until, first)
    for pieces_kept in reversed(kept):
        yield from pieces_kept


def _before(raw: Raw, piece: _Piece) -> Raw:
    """The points that count."""
    if piece.is_whole:
        return raw
    which = raw.steps < piece.until
    return Raw(raw.steps[which], raw.times_ns[which], raw.values[which])


def _add(grid: Grid, piece: _Piece, axis: Axis) -> None:
    """Sum up what counts of one piece, from as few cells or points as show it."""
    lo, hi = grid.first << grid.shift, ((grid.first + len(grid)) << grid.shift) - 1
    place = piece.place
    first, last = (
        (place.first_step, place.last_step) if axis == "step" else (place.first_ns, place.last_ns)
    )
    if first > hi or last < lo:
        return
    level = _widest(piece, axis, grid.shift)
    if level is None:
        raw = _before(piece.part.raw(piece.key, axis, lo, hi), piece)
        grid.add_points(raw.steps, raw.times_ns, raw.values, axis)
        return
    assert isinstance(piece.part, DiskPart)
    rows = piece.part.cells(level, lo >> level.shift, hi >> level.shift)
    if piece.is_whole:
        grid.add_cells(rows, level.shift)
        return
    assert piece.until is not None
    border = piece.until >> level.shift  # the cell in which points stop to count
    grid.add_cells(rows.take(rows.cell < border), level.shift)
    rest = border << level.shift
    raw = _before(piece.part.raw(piece.key, axis, rest, piece.until - 1), piece)
    which = raw.steps >= rest
    grid.add_points(raw.steps[which], raw.times_ns[which], raw.values[which], axis)


def _widest(piece: _Piece, axis: Axis, shift: int) -> Level | None:
    """The widest level that fits; None where points are to be read."""
    if axis == "time" and not piece.is_whole:
        return None  # its cells do not go by step
    fitting = [level for level in piece.part.levels(piece.key, axis) if level.shift <= shift]
    return max(fitting, key=lambda level: level.shift, default=None)
