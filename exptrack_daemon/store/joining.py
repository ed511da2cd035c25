"""Metrics, series and cells of a run from its parts, in the order of the journal.

Where a later attempt logged again what an earlier one had, the earlier one counts only before the later one's
first step (`series.join_attempts` says the same of points). So most slices of an earlier attempt count whole
or not at all; where the border falls inside one, its cells count up to the border and points fill the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from exptrack_daemon.store.columns import Points, SeriesKey, in_journal_order, without_sampler
from exptrack_daemon.store.pieces import Level, MemoryPart, Raw, Slice, Wanted
from exptrack_daemon.store.pyramid import Grid
from exptrack_daemon.store.series import Axis, Cells, Metric, Series, cells_of, empty

if TYPE_CHECKING:  # Parquet is only loaded where there is a file
    from exptrack_daemon.store.parts import DiskPart

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

Part: TypeAlias = "DiskPart | MemoryPart"
_END = np.iinfo(np.int64).max


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


def cells_of_parts(
    parts: Sequence[Part], names: Sequence[str], rank: int, role: str, window: Window
) -> dict[str, Cells]:
    """The series, by name, on the grid of this width that covers the window. Each part is read once."""
    axis, lo, hi, width = window
    if width & (width - 1):
        return {
            name: cells_of(
                series_of_parts(parts, name, rank, role), axis=axis, lo=lo, hi=hi, width=width
            )
            for name in names
        }
    names = list(dict.fromkeys(names))
    shift = width.bit_length() - 1
    grid = Grid(lo >> shift, (hi >> shift) - (lo >> shift) + 1, shift, len(names))
    for pieces in _by_part(parts, names, rank, role):
        _add(grid, pieces, axis)
    return {name: grid.cells(line) for line, name in enumerate(names)}


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


def _by_part(
    parts: Sequence[Part], names: Sequence[str], rank: int, role: str
) -> list[list[tuple[int, _Piece]]]:
    """What counts of several series, with their numbers, in the order of the journal: by part and attempt.

    A point of an earlier attempt that counts lies before all of a later one, so no tie is between the two.
    """
    order = {part: number for number, part in enumerate(parts)}
    found: dict[tuple[int, int], list[tuple[int, _Piece]]] = {}
    for line, name in enumerate(names):
        for piece in _pieces(parts, name, rank, role):
            at = (order[piece.part], piece.key.attempt)
            found.setdefault(at, []).append((line, piece))
    return [found[at] for at in sorted(found)]


def _before(raw: Raw, piece: _Piece) -> Raw:
    """The points that count."""
    if piece.is_whole:
        return raw
    which = raw.steps < piece.until
    return Raw(raw.steps[which], raw.times_ns[which], raw.values[which])


def _add(grid: Grid, pieces: Sequence[tuple[int, _Piece]], axis: Axis) -> None:
    """Sum up what counts of one part's series, from as few cells or points as show them."""
    by_cells: list[tuple[int, _Piece, Level]] = []
    by_points: list[tuple[int, _Piece, Wanted]] = []
    for line, piece in pieces:
        place = piece.place
        span = place[2:4] if axis == "step" else place[4:6]
        if span[0] > grid.hi or span[1] < grid.lo:
            continue
        level = _widest(piece, axis, grid.shift)
        if level is None:
            by_points.append((line, piece, Wanted(piece.key, axis, grid.lo, grid.hi)))
            continue
        by_cells.append((line, piece, level))
        if piece.until is not None and not piece.is_whole:
            rest = Wanted(piece.key, axis, _border(piece.until, level), piece.until - 1)
            by_points.append((line, piece, rest))
    if by_cells:
        _add_cells(grid, by_cells)
    if by_points:
        _add_points(grid, by_points, axis)


def _border(until: int, level: Level) -> int:
    """Where the cell begins in which points stop to count."""
    return until >> level.shift << level.shift


def _add_cells(grid: Grid, asked: Sequence[tuple[int, _Piece, Level]]) -> None:
    part = asked[0][1].part
    assert not isinstance(part, MemoryPart)
    rows, counts = part.cells(
        [(level, grid.lo >> level.shift, grid.hi >> level.shift) for _, _, level in asked]
    )
    lines = np.repeat([line for line, _, _ in asked], counts)
    shifts = np.repeat([level.shift for _, _, level in asked], counts)
    ends = [
        _END if piece.until is None or piece.is_whole else piece.until >> level.shift
        for _, piece, level in asked
    ]
    if min(ends) < _END:
        which = rows.cell < np.repeat(ends, counts)
        rows, lines, shifts = rows.take(which), lines[which], shifts[which]
    grid.add_cells(rows, shifts, lines)


def _add_points(grid: Grid, asked: Sequence[tuple[int, _Piece, Wanted]], axis: Axis) -> None:
    for at, found in asked[0][1].part.raws([wanted for _, _, wanted in asked]):
        line, piece, wanted = asked[at]
        raw = _before(found, piece)
        if wanted.lo is not None and wanted.lo > grid.lo:  # cells say what was before
            which = raw.steps >= wanted.lo
            raw = Raw(raw.steps[which], raw.times_ns[which], raw.values[which])
        grid.add_points(raw.steps, raw.times_ns, raw.values, axis, line)


def _widest(piece: _Piece, axis: Axis, shift: int) -> Level | None:
    """The widest level that fits; None where points are to be read."""
    if axis == "time" and not piece.is_whole:
        return None  # its cells do not go by step
    fitting = [level for level in piece.part.levels(piece.key, axis) if level.shift <= shift]
    return max(fitting, key=lambda level: level.shift, default=None)
