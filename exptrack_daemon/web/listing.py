"""Runs as the API shows them: lines of the list, and what to ask the store for. Pure. Times are Unix ms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exptrack_daemon.store.run_list import RunRow
from exptrack_daemon.web.index import Seen

_NS = 1e6
_ALIASES = {"created_ms": "created", "updated_ms": "updated"}


def row_document(row: RunRow, versions: Mapping[str, str]) -> dict[str, Any]:
    """A line of the list."""
    return {
        "id": row.id,
        "version": versions.get(row.id, ""),
        "name": row.name,
        "project": row.project,
        "group": row.group,
        "job_type": row.job_type,
        "status": row.status,
        "exit_code": row.exit_code,
        "tags": list(row.tags),
        "notes": row.notes,
        "archived": row.archived,
        "created_ms": row.created_ns / _NS,
        "updated_ms": row.updated_ns / _NS,
        "last_step": row.last_step,
        "rows": row.rows,
        "points": row.points,
        "lost_items": row.lost_items,
        "attempts": row.attempts,
        "ranks": row.ranks,
        "values": row.values,
    }


def head(seen: Seen) -> dict[str, Any]:
    """The same of one run that was read whole."""
    view, facts, run = seen.view, seen.view.facts, seen.view.run
    return {
        "id": view.id,
        "version": seen.version,
        "name": run.name,
        "project": run.project,
        "group": run.group,
        "job_type": run.job_type,
        "status": view.status.name,
        "exit_code": view.status.exit_code,
        "tags": list(run.tags),
        "notes": run.notes,
        "archived": view.annotation is not None and view.annotation.archived,
        "created_ms": run.created_ns / _NS,
        "updated_ms": facts.updated_ns / _NS,
        "last_step": facts.last_step,
        "rows": facts.rows,
        "points": facts.points,
        "lost_items": facts.lost_items,
        "attempts": facts.attempts,
        "ranks": facts.ranks,
    }


def filter_of(words: str, given: str) -> str:
    """A filter that holds both a search's words, taken as they are, and a filter."""
    parts = [f'"{_quoted(word)}"' for word in words.split()]
    if given.strip():
        parts.append(f"({given})")
    return " and ".join(parts)


def sort_of(text: str) -> str:
    """A sort order as the store reads it; the newest first where none is given."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return ",".join(map(_sort_name, names)) or "-created"


def _sort_name(name: str) -> str:
    bare = name.lstrip("-")
    return ("-" if name.startswith("-") else "") + _ALIASES.get(bare, bare)


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')
