"""What is shown, and how: text from runs made harmless, numbers and times for people, tables for a terminal.

Every text that comes from a run goes through `clean` before it is shown. Pipes never see colours; NO_COLOR is
respected (rich does both). At 80 columns nothing wraps in the middle of a table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_LONGEST = 200
_SECOND_NS = 1_000_000_000
_STYLES = {
    "running": "green",
    "live": "green",
    "done": "green",
    "ok": "green",
    "lagging": "yellow",
    "warn": "yellow",
    "unknown": "yellow",
    "unavailable": "yellow",
    "preempted": "yellow",
    "failed": "red",
    "crashed": "red",
    "broken": "red",
    "bad": "red",
    "unreadable": "red",
}


def clean(text: str, limit: int = _LONGEST) -> str:
    """A run's text as one harmless line: control, escape and direction characters are spelled out."""
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    if text.isprintable():
        return text
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    if character.isprintable():
        return character
    if character == "\u00a0":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def console() -> Console:
    """Standard output, made anew so that it follows redirection."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=False)


def error_console() -> Console:
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def warn(message: str) -> None:
    error_console().print(Text(f"warning: {clean(message, 2_000)}", "yellow"))


def styled(state: str) -> Text:
    """A state in its colour."""
    return Text(clean(state), _STYLES.get(state, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A plain table. A title ending in # stands right; the one ending in ~ gives way when room is short."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in columns:
        made.add_column(
            Text(title.rstrip("#~")),
            justify="right" if title.endswith("#") else "left",
            no_wrap=not title.endswith("~"),
            overflow="ellipsis",
        )
    for row in rows:
        made.add_row(*(_one_line(cell) for cell in row))
    return made


def _one_line(cell: str | Text) -> Text:
    text = cell if isinstance(cell, Text) else Text(cell)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def pairs(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and values, two columns without a header, indented."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(overflow="fold", style="dim", max_width=44, min_width=9)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(Text(f"  {name}"), value if isinstance(value, Text) else Text(value))
    return made


def heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def number(count: int) -> str:
    """A count that reads at a glance: 99,999 in full, 1.23 M above."""
    if abs(count) < 100_000:
        return f"{count:,}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}" if abs(count) < 1000 * size else f"{count:.2e}"
    return f"{count:,}"


def size(count: int) -> str:
    """Bytes in powers of 1,024."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def plural(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def span(duration_s: float) -> str:
    """A length of time, in its two largest useful units."""
    seconds = max(0, round(duration_s))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3_600:
        return f"{seconds // 3_600} h {seconds % 3_600 // 60:02d} min"
    return f"{seconds // 86_400} days"


def ago(time_ns: int, now_ns: int) -> str:
    """How long ago, for people; a date where that says more."""
    if time_ns <= 0:
        return "–"
    passed_s = (now_ns - time_ns) / _SECOND_NS
    if -5 < passed_s < 3:
        return "just now"
    if passed_s < 0 or passed_s >= 14 * 86_400:
        return moment(time_ns)[:10]
    if 3_600 <= passed_s < 48 * 3_600:
        return f"{passed_s / 3_600:.0f} h ago"
    return f"{span(passed_s)} ago"


def moment(time_ns: int) -> str:
    """Local date and time to the second."""
    try:
        local = datetime.fromtimestamp(time_ns // _SECOND_NS, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return "–"
    return local.strftime("%Y-%m-%d %H:%M:%S")


def value(given: Any) -> str:
    """A metric's or a config key's value in few characters."""
    if given is None:
        return "–"
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return f"{given:.6g}"
    return clean(str(given), 120)
