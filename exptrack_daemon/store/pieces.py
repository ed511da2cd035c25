"""What a part of a run's series is, whatever holds it; and one in memory. Loads no Parquet library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exptrack_daemon.store.columns import Points, SeriesKey
from exptrack_daemon.store.series import Array, Axis


class PartUnusable(Exception):
    """A part is damaged, or a newer exptrack wrote it."""


class PartName(NamedTuple):
    """A part as the manifest names it."""

    start: int
    """Ordinal of its first point."""
    end: int
    level: int
    """0: as it was gathered; 1: merged, or compacted at the run's end; it has cells."""

    @property
    def file(self) -> str:
        return f"{self.start:015d}-{self.end:015d}.parquet"

    @property
    def cells_file(self) -> str:
        return f"{self.start:015d}-{self.end:015d}.cells"

    @property
    def files(self) -> tuple[str, ...]:
        return (self.file, self.cells_file) if self.level else (self.file,)


class Slice(NamedTuple):
    """Where the points of one series stand in a part, and what they span."""

    first: int
    length: int
    first_step: int
    last_step: int
    first_ns: int
    last_ns: int


class Level(NamedTuple):
    """Cells of one series: where they stand, and the power of their width."""

    first: int
    length: int
    shift: int


class Wanted(NamedTuple):
    """The points of a series from lo to hi, both included; None: all."""

    key: SeriesKey
    axis: Axis = "step"
    lo: int | None = None
    hi: int | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """Points of one series, by step. Arrays of one length: int64, int64, float64."""

    steps: Array
    times_ns: Array
    values: Array


def slices_of(points: Points) -> dict[SeriesKey, Slice]:
    """Where each series of sorted points stands."""
    if not len(points):
        return {}
    bounds = np.searchsorted(points.series, np.arange(len(points.keys) + 1))
    starts, counts = bounds[:-1], np.diff(bounds)
    columns = (
        *(starts, counts, points.steps[starts], points.steps[bounds[1:] - 1]),
        np.minimum.reduceat(points.times_ns, starts),
        np.maximum.reduceat(points.times_ns, starts),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {key: Slice(*row) for key, row in zip(points.keys, rows, strict=True)}


def by_name(
    slices: Mapping[SeriesKey, Slice],
) -> dict[tuple[str, int, str], list[tuple[SeriesKey, Slice]]]:
    found: dict[tuple[str, int, str], list[tuple[SeriesKey, Slice]]] = {}
    for key, place in slices.items():
        if key.is_number:
            found.setdefault(key[:3], []).append((key, place))
    return found


class MemoryPart:
    """Points that stand in memory only, as a part."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self.slices = slices_of(points)
        self._by_name = by_name(self.slices)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def end(self) -> int:
        """The ordinal after its last point."""
        return int(self._points.ordinals.max()) + 1 if len(self) else 0

    def series(self, role: str, rank: int, name: str) -> Sequence[tuple[SeriesKey, Slice]]:
        """The numbers of one rank's metric, attempt by attempt."""
        return self._by_name.get((role, rank, name), ())

    def levels(self, key: SeriesKey, axis: Axis) -> Sequence[Level]:
        """None: what is in memory is summed up as it is."""
        return ()

    def raw(self, key: SeriesKey) -> Raw:
        """All points of a series."""
        place = self.slices[key]
        which = slice(place.first, place.first + place.length)
        points = self._points
        return Raw(points.steps[which], points.times_ns[which], points.values[which])

    def raws(self, wanted: Sequence[Wanted]) -> Iterator[tuple[int, Raw]]:
        """All points of each series that is wanted."""
        for at, one in enumerate(wanted):
            yield at, self.raw(one.key)

    def points(self) -> Points:
        return self._points
