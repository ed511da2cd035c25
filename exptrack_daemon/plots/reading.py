"""The lines of the picture, read from a run's journal through the store's door, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from exptrack_daemon.plots.thinning import Array, Line, Thinner
from exptrack_daemon.store.reader import HomeReader
from exptrack_proto.records import Row

PANELS: Mapping[str, Sequence[str]] = {
    "loss": ("train/loss", "loss", "train_loss", "epoch/loss"),
    "accuracy": ("train/accuracy", "accuracy", "train_accuracy", "val/accuracy", "epoch/accuracy"),
    "gradient_norm": ("gradients/norm", "train/gradient_norm", "train/grad_norm", "grad_norm"),
    "nan_count": ("numerical_stability/nan_count", "gradients/nan_count", "nan_count"),
    "inf_count": ("numerical_stability/inf_count", "gradients/inf_count", "inf_count"),
}
"""By line, the names of metrics that it may have; the first that was logged is drawn."""
_ROWS_AT_ONCE = 20_000
_NUMBERS = frozenset((float, int, bool))


class Lines:
    """Collects the points of chosen metrics of one rank."""

    def __init__(self, names: Sequence[str]) -> None:
        self._thinners = {name: Thinner() for name in names}
        self._attempt = 0
        self.rows = 0
        self.last_step: int | None = None

    def take(self, rows: Sequence[Row], attempt: int) -> None:
        """Take rows in the order of the journal; those of an attempt that was left behind are passed over."""
        if not rows or attempt < self._attempt:
            return
        steps = np.array([row.step for row in rows], dtype=np.int64)
        if attempt > self._attempt > 0:
            for thinner in self._thinners.values():
                thinner.rewind(int(steps[0]))
            self.last_step = None
        self._attempt = attempt
        self.rows += len(rows)
        self.last_step = max(int(steps.max()), self.last_step or int(steps[0]))
        logged = set().union(*[row.values for row in rows])
        for name in self._thinners.keys() & logged:
            _add(self._thinners[name], steps, [row.values.get(name) for row in rows])

    def line(self, name: str) -> Line:
        return self._thinners[name].line()


def _add(thinner: Thinner, steps: Array, column: list[Any]) -> None:
    if not _NUMBERS.issuperset(map(type, column)):
        at = [i for i, value in enumerate(column) if isinstance(value, int | float)]
        if not at:
            return
        steps, column = steps[at], [column[i] for i in at]
    try:
        values = np.array(column, dtype=float)
    except OverflowError:
        values = np.array([_as_float(value) for value in column])
    thinner.add(steps, values)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def read_lines(
    reader: HomeReader, run_id: str, rank: int = 0
) -> tuple[dict[str, tuple[str, Line]], Lines]:
    """By line of `PANELS`, the metric that it shows and its points; an unlogged one has none."""
    lines = Lines([name for names in PANELS.values() for name in names])
    for rows, attempt in _pieces(reader, run_id, rank):
        lines.take(rows, attempt)
    found: dict[str, tuple[str, Line]] = {}
    for panel, names in PANELS.items():
        drawn = ((name, lines.line(name)) for name in names)
        found[panel] = next((pair for pair in drawn if pair[1].points), (names[0], Line()))
    return found, lines


def _pieces(reader: HomeReader, run_id: str, rank: int) -> Iterator[tuple[list[Row], int]]:
    """The rank's rows, those of one attempt gathered into larger pieces: numpy's calls have their price."""
    waiting: list[Row] = []
    attempt = 0
    for entry in reader.rows(run_id):
        if entry.stream.rank != rank:
            continue
        if waiting and (entry.stream.attempt != attempt or len(waiting) >= _ROWS_AT_ONCE):
            yield waiting, attempt
            waiting = []
        attempt = entry.stream.attempt
        waiting.extend(entry.rows)
    yield waiting, attempt
