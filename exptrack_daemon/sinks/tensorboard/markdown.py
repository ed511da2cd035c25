"""Tables and alerts as Markdown, for TensorBoard's text page; foreign text is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from exptrack_daemon.errors import BatchRejected
from exptrack_proto.records import Alert, Table

_MOST_ROWS = 200
_MOST_COLUMNS = 50
_MOST_CHARS = 500
"""Of one cell."""

_SPECIAL = re.compile(r"[&<>|*_`\[\]\\~#!]")
_LINE_END = re.compile(r"\r\n?|\n")


def table_markdown(item: Table) -> str:
    """The table's beginning, and below it how much was left out.

    Raises:
        BatchRejected: its rows are no array of arrays.
    """
    owner = f"table {item.name!r} at step {item.step}"
    rows = _rows(item.rows, owner)
    columns = item.columns[:_MOST_COLUMNS]
    lines = [_line(columns), "|" + " --- |" * max(1, len(columns))]
    lines += [_line(_filled(row, len(columns))) for row in rows[:_MOST_ROWS]]
    left_out = _left_out(len(rows), len(item.columns))
    return "\n".join(lines) + (f"\n\n{left_out}" if left_out else "")


def _rows(text: str, owner: str) -> list[list[object]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BatchRejected(f"{owner}: its rows are not JSON ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise BatchRejected(f"{owner}: its rows are not an array of arrays")
    return rows


def _filled(row: Sequence[object], width: int) -> Sequence[object]:
    return [*row[:width], *[""] * (width - len(row))]


def _left_out(rows: int, columns: int) -> str:
    parts = []
    if rows > _MOST_ROWS:
        parts.append(f"{rows - _MOST_ROWS:,} of {rows:,} rows")
    if columns > _MOST_COLUMNS:
        parts.append(f"{columns - _MOST_COLUMNS:,} of {columns:,} columns")
    return f"*Left out here: {' and '.join(parts)}.*" if parts else ""


def pairs_markdown(pairs: Mapping[str, object]) -> str:
    """A table of two columns."""
    lines = [_line(("name", "value")), "| --- | --- |"]
    return "\n".join(lines + [_line(pair) for pair in pairs.items()])


def alert_markdown(item: Alert) -> str:
    head = f"**{item.level.upper()}: {_escape(item.title)}**"
    return f"{head}\n\n{item.text}" if item.text else head


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > _MOST_CHARS:
        text = text[: _MOST_CHARS - 1] + "…"
    return _LINE_END.sub("<br>", _escape(text))


def _escape(text: str) -> str:
    # Character references mean themselves in Markdown and in HTML; a backslash would not do for `<`.
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
