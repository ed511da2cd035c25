"""The JSON that `--json` prints: stable fields, strict JSON. Documented in docs/cli.md; only ever extended.

NaN and infinities, which JSON does not know, are the strings "NaN", "Infinity" and "-Infinity". A value that
is nested more than 64 deep is cut off there: "…".
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from exptrack_daemon.store.facts import RunFacts, StreamFacts
from exptrack_daemon.store.reader import RunView, SinkState
from exptrack_daemon.store.strict_json import strict
from exptrack_daemon.store.verify import Verdict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def dumps(document: Any, *, indent: int | None = 2) -> str:
    """Strict JSON in ASCII, so that no terminal is told anything."""
    return json.dumps(strict(document), indent=indent, allow_nan=False)


def iso(time_ns: int) -> str | None:
    """UTC to the microsecond; null where there is no time."""
    if time_ns <= 0:
        return None
    return (_EPOCH + timedelta(microseconds=time_ns // 1_000)).isoformat().replace("+00:00", "Z")


def run_document(view: RunView) -> dict[str, Any]:
    """A run in `runs --json`, and the head of `show --json`."""
    facts, run = view.facts, view.run
    return {
        "id": run.run_id,
        "project": run.project,
        "name": run.name,
        "group": run.group,
        "job_type": run.job_type,
        "tags": list(run.tags),
        "notes": run.notes,
        "status": view.status.name,
        "status_detail": view.status.detail,
        "exit_code": view.status.exit_code,
        "created": iso(run.created_ns),
        "created_ns": run.created_ns,
        "updated": iso(facts.updated_ns),
        "updated_ns": facts.updated_ns,
        "attempts": facts.attempts,
        "ranks": facts.ranks,
        "rows": facts.rows,
        "points": facts.points,
        "system_rows": facts.system_rows,
        "last_step": facts.last_step,
        "lost_items": facts.lost_items,
        "config": run.config,
        "summary": facts.summary,
        "problems": view.problems,
    }


def show_document(view: RunView, sinks: list[SinkState], places: dict[str, str]) -> dict[str, Any]:
    facts = view.facts
    return {
        **run_document(view),
        "system": facts.values.system,
        "streams": [_stream(facts, stream) for stream in facts.streams.values()],
        "sinks": [asdict(sink) for sink in sinks],
        "ledger": [{**entry._asdict(), "items": entry.items} for entry in facts.ledger],
        "alerts": [alert._asdict() for alert in facts.alerts],
        "written_notes": [note._asdict() for note in facts.notes],
        "artifacts": [artifact._asdict() for artifact in facts.artifacts],
        "places": places,
    }


def _stream(facts: RunFacts, held: StreamFacts) -> dict[str, Any]:
    return {
        **asdict(held.stream),
        "items": held.next,
        "rows": held.rows,
        "status": held.status,
        "closed_ns": held.closed_ns,
        "exit_code": held.exit_code,
    }


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.run_id,
        "ok": not verdict.problems,
        "frames": verdict.frames,
        "rows": verdict.rows,
        "points": verdict.points,
        "produced_items": verdict.produced_items,
        "journal_items": verdict.journal_items,
        "ledger_items": verdict.ledger_items,
        "streams": {key: asdict(account) for key, account in verdict.streams.items()},
        "sinks": [asdict(account) for account in verdict.sinks],
        "problems": verdict.problems,
        "notes": verdict.notes,
    }
