"""One run's document, whole. Pure but for reading the sinks' cursors. Times are Unix milliseconds."""

from __future__ import annotations

from typing import Any

from exptrack_daemon.store.facts import RunFacts, StreamFacts
from exptrack_daemon.store.reader import HomeReader, SinkState
from exptrack_daemon.web.index import Seen
from exptrack_daemon.web.listing import head

_NS = 1e6


def whole_run(reader: HomeReader, seen: Seen) -> dict[str, Any]:
    """The list's fields of the run, and all else."""
    view, facts = seen.view, seen.view.facts
    return head(seen) | {
        "status_detail": view.status.detail,
        "config": dict(facts.run.config),
        "summary": facts.summary,
        "system": facts.values.system,
        "user_notes": [{"time_ms": note.time_ns / _NS, "text": note.text} for note in facts.notes],
        "alerts": [
            {"time_ms": alert.time_ns / _NS, **_but_time(alert._asdict())} for alert in facts.alerts
        ],
        "artifacts": [
            {"time_ms": artifact.time_ns / _NS, **_but_time(artifact._asdict())}
            for artifact in facts.artifacts
        ],
        "ledger": _ledger(facts),
        "streams": [_stream(stream) for stream in facts.streams.values()],
        "sinks": [sink_document(sink) for sink in reader.sink_states(view)],
        "problems": view.problems,
        "links": _links(view.id),
    }


def sink_document(sink: SinkState) -> dict[str, Any]:
    """How far one sink is."""
    return {
        "name": sink.name,
        "status": sink.status,
        "reason": sink.reason,
        "rows": sink.rows,
        "lag_rows": sink.lag_rows,
        "dead_letters": sink.dead_letters,
        "updated_ms": sink.updated_ns / _NS,
    }


def _ledger(facts: RunFacts) -> list[dict[str, Any]]:
    return [
        {
            "rank": entry.rank,
            "first": entry.first,
            "last": entry.last,
            "items": entry.items,
            "reason": entry.reason,
            "time_ms": entry.time_ns / _NS,
        }
        for entry in facts.ledger
    ]


def _stream(held: StreamFacts) -> dict[str, Any]:
    stream = held.stream
    return {
        "rank": stream.rank,
        "world_size": stream.world_size,
        "attempt": stream.attempt,
        "role": stream.role,
        "host": stream.host,
        "pid": stream.pid,
        "status": held.status,
        "exit_code": held.exit_code,
        "rows": held.rows,
        "opened_ms": stream.opened_ns / _NS,
        "closed_ms": None if held.closed_ns is None else held.closed_ns / _NS,
    }


def _links(run_id: str) -> dict[str, str]:
    """Where more of the run is to be had; every path is ours."""
    return {
        "metrics": f"/api/v1/metrics?runs={run_id}",
        "media": f"/api/v1/media?run={run_id}",
        "system": f"/api/v1/system?run={run_id}",
        "picture": f"/api/v1/picture.png?run={run_id}",
    }


def _but_time(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "time_ns"}
