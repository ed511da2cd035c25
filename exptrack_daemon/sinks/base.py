"""What a sink is, and what it is handed.

A sink is a function of a run's journal. `open_sink` is called once per run in the sink's worker process; the
delivery loop then hands over batches in journal order. A sink says through `settled` what is safe at its
destination; only that moves the cursor. After a crash the loop begins again after the last settled batch
and hands back the state saved with it, so a sink can cut its output back to where that state says.

A new sink is one function of the shape `OpenSink`, registered under the entry point `exptrack.sinks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from exptrack_daemon.clock import Clock
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position

__all__ = [
    "Batch",
    "Entry",
    "Event",
    "OpenSink",
    "Rows",
    "RunInfo",
    "SavedState",
    "Settled",
    "Sink",
    "SinkContext",
    "Stream",
]

SavedState: TypeAlias = dict[str, Any]
"""JSON values only; stored with the cursor in one atomic write, so keep it small (< 1 MiB)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one run in journal order. Never empty."""

    run: RunInfo
    entries: tuple[Entry, ...]
    start: Position
    end: Position

    @property
    def points(self) -> int:
        """Values in the batch's rows."""
        return sum(
            len(row.values)
            for entry in self.entries
            if isinstance(entry, Rows)
            for row in entry.rows
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything before `end` (the `end` of a batch that was handed over) is safe at the destination."""

    end: Position
    state: SavedState
    """Given back to `open_sink` when the run is opened again from `end`."""


class Sink(Protocol):
    """One run's projection. Called from one thread."""

    def write(self, batch: Batch) -> None:
        """Take a batch; it may come again after a crash, then beginning at the last settled position.

        Raises:
            SinkUnavailable: the destination cannot take it now; the same batch comes again after a pause.
            BatchRejected: it will never take this batch; the loop halves it to find the poison.
        """

    def settled(self) -> Settled | None:
        """What has become safe since the last call; None when nothing new.

        Called after each write, about once a second, and once more after `close`. It may ask the
        destination, but must return within a second or so.

        Raises:
            SinkUnavailable: as for `write`.
        """

    def close(self) -> None:
        """Release everything; nothing is written after it. Called when the run ended or the worker stops."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink may use. Nothing else is reached from a sink: no globals, no environment."""

    home: Home
    folder: Path
    """`runs/RUN_ID/`; a sink keeps files in a folder of its own name below it."""
    settings: Mapping[str, Any]
    """The table `[sinks.NAME]` of daemon.toml; the sink checks it and raises `ConfigInvalid`."""
    clock: Clock
    announce_child: Callable[[int], None]
    """Tell the supervisor the pid of a helper process, which is then killed together with the worker."""


OpenSink: TypeAlias = Callable[[RunInfo, SinkContext, SavedState | None], Sink]
"""`open_sink(run, context, saved)`; `saved` is None when the run begins at the journal's start.

Raises `SinkBroken` when this machine cannot serve the sink at all (a library is missing), and
`SinkUnavailable` when it cannot now.
"""
