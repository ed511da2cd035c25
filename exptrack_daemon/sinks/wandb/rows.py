"""Entries of the journal -> lines of W&B's history. Pure.

Each row and each media item is one history line, numbered from the beginning of the run's journal; that
number is W&B's `_step`. So lines go up by one whatever the user's steps do, a replay gives the same
numbers, and whoever knows the last line that W&B holds knows where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from exptrack_daemon.journal.entries import Entry, Rows, Stream
from exptrack_daemon.sinks.wandb.media import Attachment, render
from exptrack_daemon.sinks.wandb.names import (
    OWN_STEP,
    SPECIAL,
    STEP,
    TIMESTAMP,
    metric_key,
    prefix_of,
)
from exptrack_proto.records import Histogram, Image, Row, Table, TextItem

_MEDIA = (Histogram, Image, Table, TextItem)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history: what `run.log` is given."""

    number: int
    values: dict[str, Any]
    key: str = ""
    """The metric that `attachment` is."""
    attachment: Attachment | None = None
    """A value that comes with a file, to be added to `values`."""


def lines_of(entries: Iterable[Entry], first: int) -> list[Line]:
    """The lines of `entries`, numbered from `first`."""
    lines: list[Line] = []
    for entry in entries:
        number = first + len(lines)
        if isinstance(entry, Rows):
            prefix, is_sampler = prefix_of(entry.stream), entry.stream.role == "sampler"
            lines.extend(
                Line(at, row_values(row, prefix, is_sampler=is_sampler))
                for at, row in enumerate(entry.rows, number)
            )
        elif isinstance(entry.item, _MEDIA):
            lines.append(_media_line(number, entry.stream, entry.item))
    return lines


def row_values(row: Row, prefix: str, *, is_sampler: bool = False) -> dict[str, Any]:
    """What W&B is told of one row.

    A sampler's count is nobody's step: its rows carry none, and W&B fills in the trainer's last one.
    """
    names = row.values.keys()
    values: dict[str, Any]
    if not prefix and SPECIAL.isdisjoint(names):
        values = dict(row.values)
    else:
        values = {metric_key(name, names, prefix): value for name, value in row.values.items()}
    if not is_sampler:
        values[OWN_STEP if STEP in values else STEP] = row.step
    values[TIMESTAMP] = row.time_ns / 1e9
    return values


def _media_line(number: int, stream: Stream, item: Histogram | Image | Table | TextItem) -> Line:
    key = metric_key(item.name, prefix=prefix_of(stream))
    rendered = render(item)
    step = OWN_STEP if key == STEP else STEP
    values = {step: item.step, TIMESTAMP: item.time_ns / 1e9}
    if isinstance(rendered, dict):
        return Line(number, {key: rendered, **values})
    return Line(number, values, key, rendered)
