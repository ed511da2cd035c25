"""A run's facts as lines of the catalogue: saved and loaded whole, in one transaction.

Facts are a function of the journal before their position, so any saved state is a right one. When what stands
in the catalogue is not what this writer last saved, it is replaced whole; otherwise only what changed is
written. So a save costs what changed, not what the run is.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from exptrack_daemon.journal.entries import RunInfo, Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.store.facts import (
    AlertEntry,
    ArtifactEntry,
    LedgerEntry,
    NoteEntry,
    RunFacts,
    StreamFacts,
)
from exptrack_daemon.store.status import journal_status

# what a run has lists of: table and field have one name, and the columns those of the entry
_LISTS: dict[str, type[LedgerEntry | AlertEntry | NoteEntry | ArtifactEntry]] = {
    "ledger": LedgerEntry,
    "alerts": AlertEntry,
    "notes": NoteEntry,
    "artifacts": ArtifactEntry,
}
_CHILDREN = ("streams", "summary", *_LISTS)
_KINDS = ("rank0", "ranks", "user", "system")
_RUN_COLUMNS = (
    "id, project, name, run_group, job_type, tags, notes, config, sinks, created_ns, updated_ns, status,"
    " exit_code, attempts, ranks, rows, points, system_rows, system_points, last_step, step_attempt,"
    " segment, offset, record, journal_rows"
)
_STREAM_COLUMNS = (
    "run, id, number, rank, world_size, attempt, role, host, pid, opened_ns, next, rows, closed_ns,"
    " status, exit_code"
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a writer last put into the catalogue for one run."""

    record: int = -1
    streams: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(facts: RunFacts) -> Saved:
        """What stands in the catalogue when it says `facts`."""
        return Saved(
            facts.position.record,
            _stream_rows(facts),
            {kind: dict(getattr(facts.values, kind)) for kind in _KINDS},
            {table: len(getattr(facts, table)) for table in _LISTS},
        )


def save(connection: sqlite3.Connection, facts: RunFacts, saved: Saved) -> Saved:
    """Make the catalogue say `facts`, given that this writer last saved `saved`; what it says now.

    Raises:
        sqlite3.DatabaseError: nothing was changed.
    """
    run_id = facts.run.run_id
    now = Saved.of(facts)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _record(connection, run_id) != saved.record:
            delete(connection, run_id)
            saved = Saved()
        _save_run(connection, facts)
        _save_streams(connection, now, saved)
        _save_values(connection, run_id, now, saved)
        _save_lists(connection, facts, saved.lists)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return now


def delete(connection: sqlite3.Connection, run_id: str) -> None:
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    for table in _CHILDREN:
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))


def load_all(connection: sqlite3.Connection, *, values: bool) -> list[RunFacts]:
    """The facts of all runs; without `values`, summaries and lists stay empty."""
    found = {row[0]: _facts(row) for row in _select(connection, f"{_RUN_COLUMNS} FROM runs")}
    query = f"{_STREAM_COLUMNS} FROM streams ORDER BY run, number"
    for row in _select(connection, query):
        found[row[0]].streams[row[1]] = _stream(row)
    if values:
        for facts in found.values():
            _load_rest(connection, facts)
    return list(found.values())


def load(connection: sqlite3.Connection, run_id: str) -> RunFacts | None:
    """The facts of one run, whole; None when the catalogue doesn't know it."""
    rows = _select(connection, f"{_RUN_COLUMNS} FROM runs WHERE id = ?", run_id)
    if not rows:
        return None
    facts = _facts(rows[0])
    query = f"{_STREAM_COLUMNS} FROM streams WHERE run = ? ORDER BY number"
    facts.streams = {row[1]: _stream(row) for row in _select(connection, query, run_id)}
    _load_rest(connection, facts)
    return facts


def list_names(connection: sqlite3.Connection) -> dict[str, RunInfo]:
    """Id, project, name and age of all runs: enough to find one."""
    rows = _select(connection, "id, project, name, created_ns FROM runs")
    return {row[0]: RunInfo(*row) for row in rows}


def _select(connection: sqlite3.Connection, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {query}", arguments).fetchall()


def _record(connection: sqlite3.Connection, run_id: str) -> int:
    rows = _select(connection, "record FROM runs WHERE id = ?", run_id)
    return int(rows[0][0]) if rows else -1


def _upsert(connection: sqlite3.Connection, table: str, columns: str, rows: list[Any]) -> None:
    marks = ", ".join("?" * len(columns.split(",")))
    connection.executemany(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", rows)


def _save_run(connection: sqlite3.Connection, facts: RunFacts) -> None:
    run, position = facts.run, facts.position
    status = journal_status(facts)
    exit_code = next((s.exit_code for s in reversed(facts.trainers) if s.stream.rank == 0), None)
    row = (
        *(run.run_id, run.project, run.name, run.group, run.job_type),
        *(_json(run.tags), run.notes, _json(run.config), _json(run.sinks)),
        *(run.created_ns, facts.updated_ns, status, exit_code, facts.attempts, facts.ranks),
        *(facts.rows, facts.points, facts.system_rows, facts.system_points),
        *(facts.last_step, facts.step_attempt),
        *(position.segment, position.offset, position.record, position.rows),
    )
    _upsert(connection, "runs", _RUN_COLUMNS, [row])


def _stream_rows(facts: RunFacts) -> dict[str, tuple[Any, ...]]:
    rows: dict[str, tuple[Any, ...]] = {}
    for number, (key, held) in enumerate(facts.streams.items()):
        info = held.stream
        rows[key] = (
            *(facts.run.run_id, key, number, info.rank, info.world_size, info.attempt, info.role),
            *(info.host, info.pid, info.opened_ns, held.next, held.rows),
            *(held.closed_ns, held.status, held.exit_code),
        )
    return rows


def _save_streams(connection: sqlite3.Connection, now: Saved, saved: Saved) -> None:
    changed = [row for key, row in now.streams.items() if saved.streams.get(key) != row]
    _upsert(connection, "streams", _STREAM_COLUMNS, changed)


def _save_values(connection: sqlite3.Connection, run_id: str, now: Saved, saved: Saved) -> None:
    for kind, values in now.values.items():
        before = saved.values.get(kind, {})
        # by identity: a value equal to the last one may be of another type (1, 1.0, True)
        changed = [
            (run_id, kind, name, _json(value))
            for name, value in values.items()
            if name not in before or before[name] is not value
        ]
        _upsert(connection, "summary", "run, kind, name, value", changed)


def _save_lists(connection: sqlite3.Connection, facts: RunFacts, saved: dict[str, int]) -> None:
    """Lists only grow: what came since the last save is added."""
    for table, kind in _LISTS.items():
        since = saved.get(table, 0)
        rows = [
            (facts.run.run_id, number, *entry)
            for number, entry in enumerate(getattr(facts, table)[since:], since)
        ]
        _upsert(connection, table, f"run, number, {', '.join(kind._fields)}", rows)


def _facts(row: tuple[Any, ...]) -> RunFacts:
    (run_id, project, name, group, job_type, tags, notes, config, sinks, created, updated) = row[
        :11
    ]
    rows, points, system_rows, system_points, last_step, step_attempt = row[15:21]
    run = RunInfo(
        run_id,
        project,
        name,
        created,
        group=group,
        job_type=job_type,
        tags=tuple(json.loads(tags)),
        notes=notes,
        config=json.loads(config),
        sinks=None if sinks == "null" else tuple(json.loads(sinks)),
    )
    return RunFacts(
        run,
        Position(*row[21:25]),
        updated,
        rows,
        points,
        system_rows,
        system_points,
        last_step,
        step_attempt,
    )


def _stream(row: tuple[Any, ...]) -> StreamFacts:
    stream_id, rank, world_size, attempt, role, host, pid, opened_ns = (row[1], *row[3:10])
    info = Stream(stream_id, rank, world_size, attempt, role, host, pid, opened_ns)
    return StreamFacts(info, *row[10:15])


def _load_rest(connection: sqlite3.Connection, facts: RunFacts) -> None:
    run_id = facts.run.run_id
    for kind, name, value in _select(
        connection, "kind, name, value FROM summary WHERE run = ?", run_id
    ):
        getattr(facts.values, kind)[name] = json.loads(value)
    for table, kind in _LISTS.items():
        query = f"{', '.join(kind._fields)} FROM {table} WHERE run = ? ORDER BY number"
        entries = [kind(*row) for row in _select(connection, query, run_id)]
        setattr(facts, table, entries)


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "{}"  # nested hundreds deep: not worth stopping every run's catalogue
