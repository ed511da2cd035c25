"""A run's journal in memory for tests of the TensorBoard sink: streams, entries, batches, and delivery."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, Settled, Sink, SinkContext
from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_proto.records import Close, Item, Open, Row

CREATED_NS = 1_700_000_000_250_000_000
SECOND_NS = 1_000_000_000


def run_info(**changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "run_id": "r4k2",
        "project": "mnist",
        "name": "first try",
        "created_ns": CREATED_NS,
    }
    return RunInfo(**{**values, **changes})


def stream(rank: int = 0, attempt: int = 1, role: str = "trainer") -> Stream:
    return Stream(
        stream_id=f"{attempt:08x}{rank:08x}{len(role):016x}",
        rank=rank,
        world_size=8,
        attempt=attempt,
        role=role,
        host="node1",
        pid=100,
        opened_ns=CREATED_NS + (attempt - 1) * 3600 * SECOND_NS,
    )


def at(step: int) -> int:
    """The time of a row at a step."""
    return CREATED_NS + abs(step) % 10**6 * SECOND_NS


@dataclass
class Journal:
    """Entries in order; grows by what a trainer would do."""

    run: RunInfo = field(default_factory=run_info)
    entries: list[Entry] = field(default_factory=list)
    _rows: int = 0
    _sequences: dict[str, int] = field(default_factory=dict)

    def open(self, writer: Stream | None = None) -> Journal:
        opened = Open(
            time_ns=CREATED_NS,
            project=self.run.project,
            name=self.run.name,
            config=json.dumps(dict(self.run.config)),
        )
        return self.item(opened, writer)

    def rows(
        self, rows: Iterable[tuple[int, Mapping[str, Any]]], writer: Stream | None = None
    ) -> Journal:
        made = [Row(step, at(step), dict(values)) for step, values in rows]
        writer = writer or stream()
        first = self._next(writer, len(made))
        self.entries.append(Rows(writer, first, self._rows, made))
        self._rows += len(made)
        return self

    def item(self, item: Item, writer: Stream | None = None) -> Journal:
        writer = writer or stream()
        self.entries.append(Event(writer, self._next(writer, 1), self._rows, item))
        return self

    def close(self, status: Any = "finished", writer: Stream | None = None) -> Journal:
        return self.item(Close(time_ns=at(9_999), status=status), writer)

    def _next(self, writer: Stream, count: int) -> int:
        first = self._sequences.get(writer.stream_id, 0)
        self._sequences[writer.stream_id] = first + count
        return first


def batches(run: RunInfo, groups: Iterable[Sequence[Entry]], begin: int = 0) -> Iterator[Batch]:
    for number, entries in enumerate(groups, begin):
        start, end = Position(record=number), Position(record=number + 1)
        yield Batch(run, tuple(entries), start, end)


def context(home: Path, **settings: Any) -> SinkContext:
    return SinkContext(
        home=Home(home),
        folder=home / "runs" / "r4k2",
        settings=settings,
        clock=SystemClock(),
        announce_child=lambda pid: None,
    )


def deliver(sink: Sink, run: RunInfo, *groups: Sequence[Entry]) -> Settled:
    """Write each group as one batch, settling after each; what the last one settled."""
    settled = None
    for batch in batches(run, groups):
        sink.write(batch)
        settled = sink.settled()
    assert settled is not None
    # The loop keeps the state as JSON; only what survives that may be relied on.
    return Settled(settled.end, json.loads(json.dumps(settled.state)))


def project(home: Path, journal: Journal) -> Path:
    """Write a whole journal as one batch; the run's folder."""
    sink = open_sink(journal.run, context(home), None)
    settled = deliver(sink, journal.run, journal.entries)
    sink.close()
    return home / "tensorboard" / settled.state["folder"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every event file below a folder."""
    files = sorted(folder.rglob("*tfevents*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
