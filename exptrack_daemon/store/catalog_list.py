"""The catalogue asked by columns: one field, metric or config key of very many runs at a time.

A line of the catalogue can be taken as it is when all streams of the run have ended (`is_closed`) and nothing
stands in the journal behind its position; who asks checks the latter.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from exptrack_daemon.journal.position import Position

COLUMNS = {
    "id": "id",
    "name": "name",
    "project": "project",
    "group": "run_group",
    "job_type": "job_type",
    "status": "status",
    "tags": "tags",
    "notes": "notes",
    "created": "created_ns",
    "updated": "updated_ns",
    "last_step": "last_step",
    "rows": "rows",
    "points": "points",
    "attempts": "attempts",
    "ranks": "ranks",
    "exit_code": "exit_code",
    "config": "config",
}
"""What a line of a run holds, and what its column in the catalogue is called."""
_KINDS = ("system", "ranks", "rank0", "user")
"""Who wrote a last value; a later one stands above an earlier."""
_MOST_ASKED = 500
_DECODER = json.JSONDecoder()
_DEEPEST = 8
_INSIDE = "{ "


class Line(NamedTuple):
    """What decides whether a run's line can be taken as it is."""

    id: str
    status: str
    position: Position

    @property
    def is_closed(self) -> bool:
        return self.status not in ("open", "unknown")


def read_lines(connection: sqlite3.Connection) -> list[Line]:
    """The lines of all runs."""
    query = "SELECT id, status, segment, offset, record, journal_rows FROM runs"
    return [Line(row[0], row[1], Position(*row[2:])) for row in connection.execute(query)]


def read_field(
    connection: sqlite3.Connection, name: str, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """One of `COLUMNS` by run; tags as tuples, the config as its JSON text."""
    rows = _rows(connection, f"SELECT id, {COLUMNS[name]} FROM runs", "id", only)
    if name == "tags":
        return {run: () if text == "[]" else tuple(json.loads(text)) for run, text in rows}
    return dict(rows)


def read_lost(connection: sqlite3.Connection) -> dict[str, int]:
    """How many items the loss ledgers name, by run; runs that lost nothing are left out."""
    query = "SELECT run, SUM(last - first + 1) FROM ledger GROUP BY run"
    return dict(connection.execute(query).fetchall())


def read_values(
    connection: sqlite3.Connection, name: str, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """The last value of one metric, by run; what the user set stands above what was logged."""
    query = "SELECT run, kind, value FROM summary WHERE name = ? AND kind IN (?, ?, ?, ?)"
    found: dict[str, Any] = {}
    kinds: dict[str, int] = {}
    decode = _DECODER.raw_decode
    for run, kind, text in _rows(connection, query, "run", only, name, *_KINDS):
        rank = _KINDS.index(kind)
        if rank >= kinds.get(run, 0):
            kinds[run] = rank
            found[run] = decode(text)[0]
    return found


def read_names(connection: sqlite3.Connection, but: Sequence[str]) -> dict[str, int]:
    """The names of all last values, and how many runs have each; some runs left out."""
    query = "SELECT name, COUNT(DISTINCT run) FROM summary GROUP BY name"
    counts: dict[str, int] = dict(connection.execute(query).fetchall())
    for name, _ in set(_rows(connection, "SELECT name, run FROM summary", "run", but)):
        counts[name] -= 1
    return {name: count for name, count in counts.items() if count}


def config_value(text: str, key: str) -> Any:
    """The value that a config's JSON text has for a key (`a.b`: in the mapping `a`); None without it.

    Plain keys are found without reading the rest, which counts when it is asked of ten thousand runs.
    """
    quoted = f"{json.dumps(key)}: "
    at = text.find(quoted)
    # `{` or a space before it: a key, not the end of a longer one; one brace: of the outermost mapping
    if at > 0 and text[at - 1] in _INSIDE and text.count("{", 0, at) == 1:
        return _DECODER.raw_decode(text, at + len(quoted))[0]
    if at < 0 and "." not in key:
        return None
    return nested_value(json.loads(text), key)


def nested_value(config: Any, key: str) -> Any:
    """The value of a key; dots lead into mappings, a key that itself has the dots goes before."""
    if not isinstance(config, dict):
        return None
    if key in config:
        return config[key]
    for at in (place for place, character in enumerate(key) if character == "."):
        found = nested_value(config.get(key[:at]), key[at + 1 :])
        if found is not None:
            return found
    return None


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config with the keys of nested mappings joined by dots."""
    flat: dict[str, Any] = {}
    for key, item in config.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item and prefix.count(".") < _DEEPEST:
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat


def _rows(
    connection: sqlite3.Connection, query: str, key: str, only: Sequence[str] | None, *given: Any
) -> Iterator[tuple[Any, ...]]:
    if only is None:
        yield from connection.execute(query, given).fetchall()
        return
    join = "AND" if given else "WHERE"
    for first in range(0, len(only), _MOST_ASKED):
        asked = only[first : first + _MOST_ASKED]
        marks = ", ".join("?" * len(asked))
        yield from connection.execute(f"{query} {join} {key} IN ({marks})", (*given, *asked))
