"""The catalogue asked by columns: one field, metric or config key of very many runs at a time.

A line of the catalogue can be taken as it is when all streams of the run have ended (`read_closed`) and
nothing stands in the journal behind its position (see `currency`).
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Sequence
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
LISTED = frozenset(("created", "status", "project", "name", "tags"))
"""What the index `runs_listed` holds: read without the lines themselves, which are long."""
MOST_ASKED = 500
"""So many runs can be asked for by id in one statement; of more, a whole column is read as fast."""
_FETCHED = 200
_OPEN = ("open", "unknown")
"""What a line's status is while a stream of its run has not ended."""
_KINDS = ("system", "ranks", "rank0", "user")
"""Who wrote a last value; a later one stands above an earlier."""
_DECODER = json.JSONDecoder()
_DEEPEST = 8
_INSIDE = "{ "


class Line(NamedTuple):
    """Up to where in its journal a run's line stands."""

    id: str
    position: Position


def read_lines(connection: sqlite3.Connection, only: Sequence[str] | None = None) -> list[Line]:
    query = "SELECT id, segment, offset, record, journal_rows FROM runs"
    ids, *places = _columns(connection, query, "id", only)
    return [Line(run, Position(*place)) for run, *place in zip(ids, *places, strict=True)]


def read_fields(
    connection: sqlite3.Connection, names: Sequence[str], only: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Some of `COLUMNS`, each by run; tags as tuples, the config as its JSON text."""
    ids, *columns = _columns(connection, _select(names), "id", only)
    return _by_run(names, ids, columns)


def read_closed(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Some of `LISTED`, as `read_fields`, of the runs whose streams have all ended, newest first."""
    closed = f"WHERE status NOT IN ({', '.join('?' * len(_OPEN))}) ORDER BY created_ns DESC"
    ids, *columns = _fetch(connection.execute(f"{_select(names)} {closed}", _OPEN))
    return _by_run(names, ids, columns)


def _select(names: Sequence[str]) -> str:
    return f"SELECT {', '.join(COLUMNS[name] for name in ('id', *names))} FROM runs"


def _by_run(
    names: Sequence[str], ids: Sequence[str], columns: Sequence[list[Any]]
) -> dict[str, dict[str, Any]]:
    found = {
        name: dict(zip(ids, column, strict=True))
        for name, column in zip(names, columns, strict=True)
    }
    if "tags" in found:
        known = {text: tuple(json.loads(text)) for text in set(found["tags"].values())}
        found["tags"] = {run: known[text] for run, text in found["tags"].items()}
    return found


def read_lost(connection: sqlite3.Connection) -> dict[str, int]:
    """How many items the loss ledgers name, by run; runs that lost nothing are left out."""
    query = "SELECT run, SUM(last - first + 1) FROM ledger GROUP BY run"
    return dict(connection.execute(query).fetchall())


def read_values(
    connection: sqlite3.Connection, name: str, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """The last value of one metric, by run; what the user set stands above what was logged."""
    query = "SELECT run, value FROM summary WHERE name = ? AND kind = ?"
    found: dict[str, Any] = {}
    for kind in _KINDS:
        runs, texts = _columns(connection, query, "run", only, name, kind)
        found.update(zip(runs, _decode(texts), strict=True))
    return found


def read_names(connection: sqlite3.Connection, but: Sequence[str]) -> dict[str, int]:
    """The names of all last values, and how many runs have each; some runs left out."""
    query = "SELECT name, COUNT(DISTINCT run) FROM summary GROUP BY name"
    counts: dict[str, int] = dict(connection.execute(query).fetchall())
    left_out = _columns(connection, "SELECT name, run FROM summary", "run", but)
    for name, _ in set(zip(*left_out, strict=True)):
        counts[name] -= 1
    return {name: count for name, count in counts.items() if count}


def config_finder(key: str) -> Callable[[str], Any]:
    """What finds the value of a key (`a.b`: in the mapping `a`) in a config's JSON text; None without it.

    Plain keys are found without reading the rest, which counts when it is asked of ten thousand runs.
    """
    quoted, is_plain, decode = f"{json.dumps(key)}: ", "." not in key, _DECODER.raw_decode
    length = len(quoted)

    def find(text: str) -> Any:
        at = text.find(quoted)
        # `{` or a space before it: a key, not the end of a longer one; one brace: of the outermost mapping
        if at > 0 and text[at - 1] in _INSIDE and text.count("{", 0, at) == 1:
            return decode(text, at + length)[0]
        if at < 0 and is_plain:
            return None
        return nested_value(json.loads(text), key)

    return find


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


def _decode(texts: Sequence[str]) -> list[Any]:
    """JSON texts of which most are one number."""
    try:
        return [float(text) if "." in text else int(text) for text in texts]
    except ValueError:
        return [json.loads(text) for text in texts]


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


def _columns(
    connection: sqlite3.Connection, query: str, key: str, only: Sequence[str] | None, *given: Any
) -> list[list[Any]]:
    """The columns of a query, of `only` these runs when given."""
    if only is None:
        return _fetch(connection.execute(query, given))
    join = "AND" if given else "WHERE"
    pieces = []
    for first in range(0, max(len(only), 1), MOST_ASKED):
        asked = only[first : first + MOST_ASKED]
        marks = ", ".join("?" * len(asked))
        pieces.append(
            _fetch(connection.execute(f"{query} {join} {key} IN ({marks})", (*given, *asked)))
        )
    return [list(itertools.chain(*columns)) for columns in zip(*pieces, strict=True)]


def _fetch(cursor: sqlite3.Cursor) -> list[list[Any]]:
    """The columns of what was asked, in pieces: ten thousand rows at once keep the collector busy."""
    columns: list[list[Any]] = [[] for _ in cursor.description]
    while rows := cursor.fetchmany(_FETCHED):
        for column, piece in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(piece)
    return columns
