"""The cells of several metrics of several runs on one grid, from the store or from what was kept.

x is the step, or a time in milliseconds: since the epoch (`time`), or since the run's start (`relative`). All
lines of an answer share one grid of power-of-two cells. With `relative` each run's own grid is moved by whole
cells, so its x is right to within one cell, as wide as two pixels or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.store.series import Array, Cells, Metric, width_for
from exptrack_daemon.web.cache import ByteCache
from exptrack_daemon.web.index import Seen

X: TypeAlias = Literal["step", "relative", "time"]
STATS = ("mean", "min", "max", "last", "count", "nan", "pos_inf", "neg_inf", "seconds")
"""`seconds`: when the cell's last point was logged, since the run's start."""
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """What a page wants drawn. x in steps or nanoseconds; None: from the first, to the last."""

    names: tuple[str, ...]
    x: X
    lo: int | None
    hi: int | None
    cells: int
    stats: tuple[str, ...]
    rank: int
    is_system: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """The answer: header fields, and values [name][run][stat][cell]."""

    header: dict[str, Any]
    values: Array


class Charts:
    """Keeps what it drew: a run's cells at one version never change."""

    def __init__(self, most_bytes: int = 64 << 20) -> None:
        self._cells: ByteCache[Array] = ByteCache(most_bytes)
        self._metrics: ByteCache[list[Metric]] = ByteCache(8 << 20)

    def metrics(self, reader: HomeReader, run: Seen) -> list[Metric]:
        """The run's metrics."""
        key = (run.view.id, run.version)
        known = self._metrics.get(key)
        if known is None:
            known = reader.metrics(run.view)
            self._metrics.put(key, known, 200 * (len(known) + 1))
        return known

    def draw(self, reader: HomeReader, runs: Sequence[Seen], question: Question) -> Drawn:
        """The cells of all runs and names; what a run never logged is empty."""
        extent = self._extent(reader, runs, question)
        lo, hi = _window(question, extent)
        width = width_for(lo, hi, question.cells)
        first = lo // width
        count = hi // width - first + 1
        blocks = [self._block(reader, run, question, width, first, count) for run in runs]
        shape = (len(question.names), len(runs), len(question.stats), count)
        values = np.stack(blocks, axis=1) if blocks else np.empty(shape)
        unit = 1 if question.x == "step" else _NS_PER_MS
        header = {
            "x": question.x,
            "width": width if unit == 1 else width / unit,
            "x0": first * width if unit == 1 else first * width / unit,
            "cells": count,
            "names": list(question.names),
            "runs": [{"id": run.view.id, "version": run.version} for run in runs],
            "stats": list(question.stats),
            "extent": [x if unit == 1 else x / unit for x in extent] if extent else None,
        }
        return Drawn(header, values)

    def _extent(
        self, reader: HomeReader, runs: Sequence[Seen], question: Question
    ) -> tuple[int, int] | None:
        """From the first to the last x of what is asked for, over all runs and whatever the window."""
        wanted = frozenset(question.names)
        ends: list[tuple[int, int]] = []
        for run in runs:
            start = start_ns(run) if question.x == "relative" else 0
            for metric in self.metrics(reader, run):
                if metric.name in wanted and metric.is_system == question.is_system:
                    steps = (metric.first_step, metric.last_step)
                    times = (metric.first_ns - start, metric.last_ns - start)
                    ends.append(steps if question.x == "step" else times)
        return (min(lo for lo, _ in ends), max(hi for _, hi in ends)) if ends else None

    def _block(
        self, reader: HomeReader, run: Seen, question: Question, width: int, first: int, count: int
    ) -> Array:
        """One run's cells, [name][stat][cell]."""
        grid = (width, first, count)
        what = (question.x, question.rank, question.is_system, question.stats)
        keys = [(run.view.id, run.version, name, grid, what) for name in question.names]
        blocks = [self._cells.get(key) for key in keys]
        missing = [
            name for name, block in zip(question.names, blocks, strict=True) if block is None
        ]
        if missing:
            drawn = self._read(reader, run, missing, question, grid)
            for at, key in enumerate(keys):
                if blocks[at] is None:
                    block = blocks[at] = drawn[question.names[at]]
                    self._cells.put(key, block, block.nbytes + 500)
        return np.stack([block for block in blocks if block is not None])

    def _read(
        self,
        reader: HomeReader,
        run: Seen,
        names: Sequence[str],
        question: Question,
        grid: tuple[int, int, int],
    ) -> dict[str, Array]:
        width, first, count = grid
        start = start_ns(run)
        # relative: the run's own grid begins at the cell that its start lies in
        first += start // width if question.x == "relative" else 0
        found = reader.cells(
            run.view,
            names,
            width=width,
            lo=first * width,
            hi=(first + count) * width - 1,
            axis="step" if question.x == "step" else "time",
            rank=question.rank,
            system=question.is_system,
        )
        return {
            name: np.stack([stat_of(cells, stat, start) for stat in question.stats])
            for name, cells in found.items()
        }


def _window(question: Question, extent: tuple[int, int] | None) -> tuple[int, int]:
    """What is asked for, open ends closed by what there is; never empty."""
    lo, hi = question.lo, question.hi
    if lo is None:
        lo = extent[0] if extent else 0
    if hi is None:
        hi = extent[1] if extent else lo
    return min(lo, hi), max(lo, hi)


def start_ns(run: Seen) -> int:
    """When the run began."""
    return run.view.facts.run.created_ns


def stat_of(cells: Cells, stat: str, start: int) -> Array:
    """One statistic of each cell, float64. Counts are 0 in an empty cell, all else is NaN."""
    if stat == "seconds":
        return np.where(cells.count > 0, (cells.last_ns - start) / 1e9, np.nan)
    return np.asarray(getattr(cells, stat), dtype=np.float64)
