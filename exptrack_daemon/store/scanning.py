"""Metrics, series and media straight from a run's journal: right for every run, as slow as reading it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from exptrack_daemon.journal.entries import Entry, Event, Rows, Stream
from exptrack_daemon.store.series import Metric, Series, empty, join_attempts
from exptrack_proto.records import Histogram, Image, Table, TextItem

Media: TypeAlias = Image | Histogram | TextItem | Table


@dataclass(frozen=True, slots=True)
class MediaEntry:
    """One image, figure, histogram, text or table that a run logged."""

    number: int
    """Of this run's media, in the order of the journal, from 0: with the run's id, a stable address."""
    rank: int
    item: Media


def metrics_of(entries: Iterable[Entry]) -> list[Metric]:
    """All metrics that have numbers, by name; the sampler's after the trainers'."""
    found: dict[tuple[bool, str], _Seen] = {}
    for stream, step, time_ns, name, _ in _numbers(entries):
        seen = found.setdefault((stream.role != "trainer", name), _Seen(step, time_ns))
        seen.add(stream.rank, step, time_ns)
    return [seen.metric(name, is_system) for (is_system, name), seen in sorted(found.items())]


def series_of(
    entries: Iterable[Entry], names: Sequence[str], *, rank: int, system: bool
) -> dict[str, Series]:
    """The named series of one rank."""
    role = "sampler" if system else "trainer"
    held: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
    wanted = frozenset(names)
    for stream, step, time_ns, name, value in _numbers(entries):
        if name in wanted and stream.rank == rank and stream.role == role:
            held.setdefault((name, stream.attempt), []).append((step, time_ns, value))
    return {
        name: join_attempts(
            [_series(name, rank, held[key]) for key in sorted(held) if key[0] == name]
            or [empty(name, rank)]
        )
        for name in names
    }


def media_of(entries: Iterable[Entry]) -> Iterator[MediaEntry]:
    number = 0
    for entry in entries:
        if isinstance(entry, Event) and isinstance(entry.item, Media):
            yield MediaEntry(number, entry.stream.rank, entry.item)
            number += 1


class _Seen:
    def __init__(self, step: int, time_ns: int) -> None:
        self.points = 0
        self.ranks: set[int] = set()
        self.first_step = self.last_step = step
        self.first_ns = self.last_ns = time_ns

    def add(self, rank: int, step: int, time_ns: int) -> None:
        self.points += 1
        self.ranks.add(rank)
        self.first_step, self.last_step = min(self.first_step, step), max(self.last_step, step)
        self.first_ns, self.last_ns = min(self.first_ns, time_ns), max(self.last_ns, time_ns)

    def metric(self, name: str, is_system: bool) -> Metric:
        steps = (self.first_step, self.last_step)
        times = (self.first_ns, self.last_ns)
        return Metric(name, self.points, tuple(sorted(self.ranks)), *steps, *times, is_system)


def _numbers(entries: Iterable[Entry]) -> Iterator[tuple[Stream, int, int, str, float]]:
    for entry in entries:
        if isinstance(entry, Rows):
            for row in entry.rows:
                for name, value in row.values.items():
                    if isinstance(value, int | float):
                        yield entry.stream, row.step, row.time_ns, name, as_float(value)


def as_float(value: float) -> float:
    """A number as float64; an integer that is too large for it becomes an infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _series(name: str, rank: int, points: list[tuple[int, int, float]]) -> Series:
    steps, times, values = zip(*points, strict=True)
    return Series(
        name, rank, np.array(steps, np.int64), np.array(times, np.int64), np.array(values, float)
    )
