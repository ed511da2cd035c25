"""What one run's journal adds up to: a pure fold of entries into the facts of the run.

Facts at a position are a function of the journal before it and of nothing else. So the catalogue sink and a
reader that folds the tail on top of the catalogue come to the same facts, and whoever is further is right.
An entry that was folded before is passed over by its sequence, so handing it in twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from exptrack_daemon.journal.entries import Entry, Event, Rows, RunInfo, Stream
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.journal.replay import json_object, without_asides
from exptrack_proto.records import (
    Alert,
    Artifact,
    Close,
    ConfigUpdate,
    Loss,
    Note,
    Row,
    Scalar,
    Summary,
)


@dataclass(slots=True)
class StreamFacts:
    """One writer of the run, and how far it got."""

    stream: Stream
    next: int = 0
    """The sequence after the last item that was folded."""
    rows: int = 0
    closed_ns: int | None = None
    status: str = "open"
    """`open`, or what its close says: `finished`, `failed`, `crashed`, `preempted`."""
    exit_code: int | None = None

    @property
    def is_trainer(self) -> bool:
        return self.stream.role == "trainer"


class LedgerEntry(NamedTuple):
    """Items that were dropped, exactly."""

    stream_id: str
    rank: int
    first: int
    last: int
    reason: str
    time_ns: int

    @property
    def items(self) -> int:
        return self.last - self.first + 1


class AlertEntry(NamedTuple):
    time_ns: int
    level: str
    title: str
    text: str


class NoteEntry(NamedTuple):
    time_ns: int
    text: str


class ArtifactEntry(NamedTuple):
    """A file that belongs to the run; its bytes are where its path says."""

    time_ns: int
    step: int
    name: str
    type: str
    path: str
    size_bytes: int
    sha256: str
    metadata: str
    """A JSON text."""


@dataclass(slots=True)
class Values:
    """The last value of each metric, kept apart by who wrote it."""

    rank0: dict[str, Scalar] = field(default_factory=dict)
    ranks: dict[str, Scalar] = field(default_factory=dict)
    """Of all other ranks, in journal order; shown where rank 0 never logged the name."""
    user: dict[str, Any] = field(default_factory=dict)
    """What the user set as summary: stands above everything logged."""
    system: dict[str, Scalar] = field(default_factory=dict)


@dataclass(slots=True)
class RunFacts:
    """The facts of one run at `position`."""

    run: RunInfo
    """What the run is; its config holds the updates folded so far."""
    position: Position = START
    updated_ns: int = 0
    rows: int = 0
    points: int = 0
    system_rows: int = 0
    system_points: int = 0
    last_step: int | None = None
    """The highest step of the newest attempt."""
    step_attempt: int = 0
    """The attempt that `last_step` belongs to."""
    streams: dict[str, StreamFacts] = field(default_factory=dict)
    values: Values = field(default_factory=Values)
    ledger: list[LedgerEntry] = field(default_factory=list)
    alerts: list[AlertEntry] = field(default_factory=list)
    notes: list[NoteEntry] = field(default_factory=list)
    """What the user wrote down while it ran; `run.notes` is what was there at the start."""
    artifacts: list[ArtifactEntry] = field(default_factory=list)

    @property
    def summary(self) -> dict[str, Any]:
        """The last value per metric, rank 0's before the others', the user's before all."""
        values = self.values
        return {**values.ranks, **values.rank0, **values.user}

    @property
    def trainers(self) -> list[StreamFacts]:
        return [stream for stream in self.streams.values() if stream.is_trainer]

    @property
    def attempts(self) -> int:
        return max((stream.stream.attempt for stream in self.trainers), default=0)

    @property
    def ranks(self) -> int:
        return len({stream.stream.rank for stream in self.trainers})

    @property
    def lost_items(self) -> int:
        return sum(entry.items for entry in self.ledger)

    def fold(self, entry: Entry) -> None:
        """Take the next entry of the journal."""
        stream = self.streams.get(entry.stream.stream_id)
        if stream is None:
            stream = self.streams[entry.stream.stream_id] = StreamFacts(entry.stream)
        if isinstance(entry, Rows):
            self._fold_rows(stream, _new_rows(entry, stream.next), entry)
        elif entry.sequence >= stream.next:
            stream.stream = entry.stream
            stream.next = entry.sequence + 1
            self._fold_event(stream, entry)

    def _fold_rows(self, stream: StreamFacts, rows: list[Row], entry: Rows) -> None:
        if not rows:
            return
        stream.next = entry.first + len(entry.rows)
        stream.rows += len(rows)
        self.updated_ns = max(self.updated_ns, rows[-1].time_ns)
        if not stream.is_trainer:
            self.system_rows += len(rows)
            self.system_points += _take(self.values.system, rows)
            return
        target = self.values.rank0 if stream.stream.rank == 0 else self.values.ranks
        self.rows += len(rows)
        self.points += _take(target, rows)
        self._note_step(stream.stream.attempt, max(row.step for row in rows))

    def _note_step(self, attempt: int, step: int) -> None:
        if attempt > self.step_attempt or self.last_step is None:
            self.step_attempt, self.last_step = attempt, step
        elif attempt == self.step_attempt and step > self.last_step:
            self.last_step = step

    def _fold_event(self, stream: StreamFacts, entry: Event) -> None:
        time_ns = getattr(entry.item, "time_ns", 0)
        self.updated_ns = max(self.updated_ns, time_ns)
        take = _EVENTS.get(type(entry.item))
        if take is not None:
            take(self, stream, entry.item)


def _new_rows(entry: Rows, since: int) -> list[Row]:
    """The rows of the entry from sequence `since` on."""
    return entry.rows if entry.first >= since else entry.rows[since - entry.first :]


def _take(last: dict[str, Scalar], rows: list[Row]) -> int:
    """Update the last values; how many values there were. The one loop that all points go through."""
    points = 0
    update = last.update
    for row in rows:
        values = row.values
        points += len(values)
        update(values)
    return points


def _close(facts: RunFacts, stream: StreamFacts, item: Close) -> None:
    stream.closed_ns, stream.status, stream.exit_code = item.time_ns, item.outcome, item.exit_code


def _config(facts: RunFacts, stream: StreamFacts, item: ConfigUpdate) -> None:
    changes = without_asides(json_object(item.config))
    facts.run = replace(facts.run, config={**facts.run.config, **changes})


def _summary(facts: RunFacts, stream: StreamFacts, item: Summary) -> None:
    # JSON can spell half a surrogate pair, which no file or terminal takes
    values = json_object(item.values).items()
    facts.values.user.update(
        {name.encode("utf-8", "replace").decode(): value for name, value in values}
    )


def _alert(facts: RunFacts, stream: StreamFacts, item: Alert) -> None:
    facts.alerts.append(AlertEntry(item.time_ns, item.level, item.title, item.text))


def _note(facts: RunFacts, stream: StreamFacts, item: Note) -> None:
    facts.notes.append(NoteEntry(item.time_ns, item.text))


def _artifact(facts: RunFacts, stream: StreamFacts, item: Artifact) -> None:
    facts.artifacts.append(
        ArtifactEntry(
            item.time_ns,
            item.step,
            item.name,
            item.type,
            item.path,
            item.size_bytes,
            item.sha256,
            item.metadata,
        )
    )


def _loss(facts: RunFacts, stream: StreamFacts, item: Loss) -> None:
    info = stream.stream
    entry = LedgerEntry(info.stream_id, info.rank, item.first, item.last, item.reason, item.time_ns)
    facts.ledger.append(entry)


_EVENTS: dict[type, Callable[[RunFacts, StreamFacts, Any], None]] = {
    Close: _close,
    ConfigUpdate: _config,
    Summary: _summary,
    Alert: _alert,
    Note: _note,
    Artifact: _artifact,
    Loss: _loss,
}


def fresh(run_id: str) -> RunFacts:
    """The facts before the first entry."""
    return RunFacts(RunInfo(run_id, project="", name=run_id, created_ns=0))


def take_info(facts: RunFacts, run: RunInfo) -> None:
    """Take over what the run is, as its first `open` says; the config keeps the updates folded so far."""
    if facts.run.created_ns == 0 and run.created_ns != 0:
        facts.run = replace(run, config={**run.config, **facts.run.config})
