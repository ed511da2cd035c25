"""What a run's journal says, typed: the run, its streams, and their rows and events in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from exptrack_proto.records import Item, Row


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run is, from the first `open` in its journal; the same however often it is read."""

    run_id: str
    project: str
    name: str
    created_ns: int
    group: str | None = None
    job_type: str | None = None
    tags: tuple[str, ...] = ()
    notes: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    sinks: tuple[str, ...] | None = None
    sink_options: Mapping[str, Any] = field(default_factory=dict)
    """By sink, what the run asks of it; a sink takes the keys it knows."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One writer of the run: a rank's attempt, or the daemon's sampler."""

    stream_id: str
    """Hexadecimal, 32 characters."""
    rank: int
    world_size: int
    attempt: int
    """1 for the first `open` of this rank (and role) in the journal, 2 for the next …"""
    role: str
    """`trainer` or `sampler`."""
    host: str
    pid: int
    opened_ns: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of one stream."""

    stream: Stream
    first: int
    """Sequence of the first row in its stream."""
    ordinal: int
    """Rows (of all streams) before the first one in the run's journal."""
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Event:
    """Anything but a row: open, close, media (its chunks already joined), hparams, loss."""

    stream: Stream
    sequence: int
    ordinal: int
    """Rows before it in the run's journal."""
    item: Item


Entry: TypeAlias = Rows | Event
