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
from exptrack_daemon.sinks.wandb.names import TIMESTAMP, Keys, prefix_of
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


def lines_of(entries: Iterable[Entry], first: int, keys: Keys) -> list[Line]:
    """The lines of `entries`, numbered from `first`."""
    lines: list[Line] = []
    for entry in entries:
        number = first + len(lines)
        if isinstance(entry, Rows):
            lines.extend(
                Line(at, row_values(row, entry.stream, keys))
                for at, row in enumerate(entry.rows, number)
            )
        elif isinstance(entry.item, _MEDIA):
            lines.append(_media_line(number, entry.stream, entry.item, keys))
    return lines


def row_values(row: Row, stream: Stream, keys: Keys) -> dict[str, Any]:
    """What W&B is told of one row.

    A sampler's count is nobody's step: its rows carry none, and W&B fills in the trainer's last one.
    """
    values = keys.of(row.values, prefix_of(stream))
    if stream.role != "sampler":
        values[keys.step_beside(values)] = row.step
    values[TIMESTAMP] = row.time_ns / 1e9
    return values


def _media_line(
    number: int, stream: Stream, item: Histogram | Image | Table | TextItem, keys: Keys
) -> Line:
    rendered = render(item)
    values = keys.of({item.name: rendered}, prefix_of(stream))
    (key,) = values
    common = {keys.step_beside(values): item.step, TIMESTAMP: item.time_ns / 1e9}
    if isinstance(rendered, dict):
        return Line(number, {**values, **common})
    return Line(number, common, key, rendered)
