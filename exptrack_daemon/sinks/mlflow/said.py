"""Entries of the journal -> what MLflow is told. Pure.

A point's place is its row's number in the run's journal, and its number among the row's values. Places only
go up, and are the same whoever reads the journal; so one place says how much of a run MLflow holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exptrack_daemon.journal.entries import Entry, Event, Rows
from exptrack_daemon.journal.replay import without_asides
from exptrack_daemon.sinks.mlflow.files import File, files_of
from exptrack_daemon.sinks.mlflow.names import Keys, key, prefix_of
from exptrack_proto.records import (
    Alert,
    Close,
    ConfigUpdate,
    Graph,
    Histogram,
    Hparams,
    Loss,
    Note,
    Open,
    Summary,
)

_NS_PER_MS = 1_000_000
MAX_TEXT_CHARS = 5_000
"""Of a tag; what databases of MLflow before 2.13 take."""
_MAX_DEPTH = 8
_ENDS = {"finished": "FINISHED", "failed": "FAILED", "crashed": "KILLED", "preempted": "KILLED"}
_NO_PLACE = {Alert: "alerts", Graph: "graphs", Histogram: "histograms"}


class Place(NamedTuple):
    """Everything before it is known to be somewhere."""

    row: int = 0
    value: int = 0


class Point(NamedTuple):
    place: Place
    """Just after the point."""
    key: str
    value: float
    time_ms: int
    step: int


@dataclass(slots=True)
class Said:
    """What a batch says, by kind."""

    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    best: list[Point] = field(default_factory=list)
    """Numbers of the summary: metrics too, so that MLflow's table can be sorted by them."""
    files: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost_items: int = 0
    status: str | None = None
    """MLflow's, when the trainer's rank 0 has opened again or closed."""
    ended_ms: int = 0
    without_place: set[str] = field(default_factory=set)
    """Kinds of items for which MLflow has nothing."""


def said_in(entries: Iterable[Entry], keys: Keys, run_id: str) -> Said:
    """What the entries say.

    Raises:
        BatchRejected: a media item is not what it says it is.
    """
    said = Said()
    for entry in entries:
        if isinstance(entry, Rows):
            _take_rows(said, entry, keys)
        else:
            _take_event(said, entry, keys)
            said.files += files_of(run_id, entry)
    return said


def _take_rows(said: Said, rows: Rows, keys: Keys) -> None:
    prefix = prefix_of(rows.stream)
    for number, row in enumerate(rows.rows, rows.ordinal):
        time_ms = row.time_ns // _NS_PER_MS
        names = keys.of_row(row.values, prefix)
        for at, (name, value) in enumerate(zip(names, row.values.values(), strict=True), 1):
            if isinstance(value, str):
                said.tags[key(f"text/{name}")] = _cut(value)
            elif value is not None:
                place = Place(number, at)
                said.points.append(Point(place, name, float(value), time_ms, row.step))


def _take_event(said: Said, event: Event, keys: Keys) -> None:
    item, stream = event.item, event.stream
    is_first = stream.role == "trainer" and stream.rank == 0
    match item:
        case ConfigUpdate():
            said.params |= params_of(without_asides(_object(item.config)))
        case Hparams():
            said.params |= params_of(_object(item.hparams))
            _take_summary(said, item.metrics, item.time_ns, keys, "")
        case Summary():
            _take_summary(said, item.values, item.time_ns, keys, prefix_of(stream))
        case Note():
            said.notes.append(item.text)
        case Loss():
            said.lost_items += item.items
        case Open() if is_first and stream.attempt > 1:
            said.params |= params_of(_object(item.config))
            said.tags["exptrack.attempt"] = str(stream.attempt)
            said.status = "RUNNING"
        case Close() if is_first:
            said.status, said.ended_ms = _ENDS[item.outcome], item.time_ns // _NS_PER_MS
        case Alert() | Graph() | Histogram():
            said.without_place.add(_NO_PLACE[type(item)])


def _take_summary(said: Said, text: str, time_ns: int, keys: Keys, prefix: str) -> None:
    for name, value in _leaves("", _object(text), 0):
        shown = key(f"summary/{keys.of(name, prefix)}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Of equal steps MLflow shows the one with the later time.
            said.best.append(Point(Place(), shown, _number(value), time_ns // _NS_PER_MS, 0))
        else:
            said.tags[shown] = _cut(_text(value))


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Config as MLflow's params: nested names joined by `/`, every value a text."""
    return {key(name): _text(value) for name, value in _leaves("", config, 0)}


def _leaves(prefix: str, config: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            yield from _leaves(f"{prefix}{name}/", value, depth + 1)
        else:
            yield f"{prefix}{name}", value


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        return "…"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
