"""`exptrack tail`: a run's rows as they come."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from rich.text import Text

from exptrack_daemon.cli.frame import (
    HomeOption,
    RunArgument,
    app,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.render import clean, console, moment, number, plural, value
from exptrack_daemon.journal.entries import Entry, Event, Rows
from exptrack_daemon.store.export import json_line
from exptrack_daemon.store.reader import Point
from exptrack_proto.records import Alert, Close, Loss, Open, Row

_SHOWN = 12


@verb(
    app,
    examples=[
        "exptrack tail latest",
        "exptrack tail latest -n 100",
        "exptrack tail 3f2a --json | jq .value",
    ],
)
def tail(
    run: RunArgument,
    home: HomeOption = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", min=0, metavar="N", help="Begin with the last N rows.")
    ] = 10,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a value, as `export --format jsonl`.")
    ] = False,
    system: Annotated[bool, typer.Option("--system", help="The sampler's rows too.")] = False,
) -> None:
    """Follow a run live.

    Ends when its trainers have ended, or with Ctrl-C.
    """
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    never = threading.Event()
    for entry in reader.tail(view, last_rows=rows, system=system, wait=never.wait):
        if not json:
            _print(entry)
        elif isinstance(entry, Rows):
            typer.echo("".join(map(json_line, _points(entry))), nl=False)


def _points(entry: Rows) -> list[Point]:
    rank = entry.stream.rank
    return [
        Point(name, row.step, row.time_ns, given, rank)
        for row in entry.rows
        for name, given in row.values.items()
    ]


def _print(entry: Entry) -> None:
    out = console()
    if isinstance(entry, Rows):
        for row in entry.rows:
            out.print(_line(entry, row), no_wrap=True, overflow="ellipsis", crop=True)
    elif line := _event(entry):
        out.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _line(entry: Rows, row: Row) -> Text:
    who = "system" if entry.stream.role != "trainer" else f"step {row.step}"
    rank = f"  rank {entry.stream.rank}" if entry.stream.world_size > 1 else ""
    line = Text(f"{moment(row.time_ns)[11:]}  {who}{rank}")
    for name, given in list(row.values.items())[:_SHOWN]:
        line.append(f"  {clean(name, 60)} ", "dim")
        line.append(value(given), "bold")
    if len(row.values) > _SHOWN:
        line.append(f"  … and {number(len(row.values) - _SHOWN)} more", "dim")
    return line


def _event(entry: Event) -> Text | None:
    item, rank = entry.item, entry.stream.rank
    if isinstance(item, Open):
        return Text(f"── rank {rank} opened, attempt {entry.stream.attempt}", "cyan")
    if isinstance(item, Close):
        code = "" if item.exit_code is None else f", exit code {item.exit_code}"
        return Text(f"── rank {rank} {item.outcome}{code}", "cyan")
    if isinstance(item, Alert):
        return Text(f"── {item.level}: {clean(item.title)} {clean(item.text)}", "yellow")
    if isinstance(item, Loss):
        return Text(
            f"── rank {rank} lost {plural(item.items, 'item')}: {clean(item.reason)}", "red"
        )
    return None
