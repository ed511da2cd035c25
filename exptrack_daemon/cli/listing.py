"""`exptrack runs` and `exptrack show`: what there is, and all about one run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from exptrack_daemon.cli.frame import (
    HomeOption,
    JsonOption,
    RunArgument,
    app,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.machine import dumps, run_document, show_document
from exptrack_daemon.cli.places import places_of
from exptrack_daemon.cli.render import (
    ago,
    clean,
    console,
    heading,
    moment,
    number,
    pairs,
    plural,
    size,
    span,
    styled,
    table,
    value,
    warn,
)
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.store.catalog_list import flatten
from exptrack_daemon.store.facts import ArtifactEntry, RunFacts
from exptrack_daemon.store.reader import HomeReader, RunView, SinkState
from exptrack_daemon.store.run_list import RunRow
from exptrack_daemon.store.status import stream_status

if TYPE_CHECKING:  # with what draws, which plain lists need not load
    from exptrack_daemon.cli.comparison import Spread

_SHOWN = 40
_NEWEST = 10
_NOTE_LINES = 40
Shown = tuple[str, str | Text]


@verb(
    app,
    examples=[
        "exptrack runs",
        "exptrack runs 'loss<0.1 and tag:baseline' --sort loss",
        "exptrack runs --columns val/acc,config.lr -n 5",
        "exptrack runs --group-by config.lr --columns val/acc",
        "exptrack runs --json | jq '.[].id'",
    ],
)
def runs(
    filter_: Annotated[
        str | None,
        typer.Argument(
            metavar="FILTER",
            help="Which runs: loss<0.1, tag:baseline, status=running, words …",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
    also: Annotated[
        str | None,
        typer.Option("--filter", metavar="FILTER", help="The same.", show_default=False),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort", "-s", metavar="NAMES", help="What to sort by; -NAME: largest first."
        ),
    ] = "-created",
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            "-c",
            metavar="NAMES",
            help="Metrics, config.KEYs or fields to show, with commas between.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, metavar="N", help="The first N only; 0: all.")
    ] = 0,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="NAME",
            help="A line for all runs with the same config.KEY (or field).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List runs, newest first."""
    reader = reading(home)
    given = [part for part in (filter_, also) if part and part.strip()]
    wanted = given[0] if len(given) == 1 else " and ".join(f"({part})" for part in given)
    names = [name.strip() for name in (columns or "").split(",") if name.strip()]
    if group_by is not None:
        page = reader.query(wanted, sort, [*names, group_by])
    else:
        page = reader.query(wanted, sort, names, limit=limit or None)
    show_notices(reader)
    for note in page.notes:
        warn(note)
    if group_by is not None and (page.rows or json):
        _list_groups(page.rows, group_by, names, limit, json=json)
    elif json:
        views = {view.id: view for view in reader.views([row.id for row in page.rows])}
        shown = [(row, views[row.id]) for row in page.rows if row.id in views]
        typer.echo(dumps([{**run_document(view), "values": row.values} for row, view in shown]))
    elif page.rows:
        _print_runs(console(), page.rows, names)
        _warn_of_problems(reader, page.rows)
        if len(page.rows) < page.total:
            which = "older run" if sort == "-created" else "further run"
            typer.echo(f"… and {plural(page.total - len(page.rows), which)}")
    elif wanted:
        typer.echo("No run fits.")
    else:
        typer.echo(f"No runs in {clean(str(reader.home.path))} yet. Make one: exptrack demo")


def _print_runs(out: Console, rows: Sequence[RunRow], names: Sequence[str]) -> None:
    now_ns = SystemClock().now_ns()
    lines = [
        (
            clean(row.id),
            styled(row.status),
            f"{clean(row.project, 40)}/{clean(row.name, 60)}",
            *(value(row.values[name]) for name in names),
            *(() if names else (_step(row), number(row.points))),
            ago(row.updated_ns, now_ns),
        )
        for row in rows
    ]
    shown = [f"{clean(name, 24)}#" for name in names] or ["STEP#", "POINTS#"]
    out.print(table(("ID", "STATUS", "PROJECT/NAME~", *shown, "UPDATED"), lines))


def _list_groups(
    rows: Sequence[RunRow], key: str, names: Sequence[str], limit: int, *, json: bool
) -> None:
    from exptrack_daemon.cli.grouping import group_document, groups_of

    found = groups_of(rows, key)
    if [group.value for group in found] == [None]:
        warn(f"no run has {clean(key, 60)!r}; keys of configs are asked for as config.KEY")
    shown = found[: limit or None]
    if json:
        typer.echo(dumps([group_document(group, names) for group in shown]))
        return
    now_ns = SystemClock().now_ns()
    lines = [
        (
            value(group.value),
            number(len(group.runs)),
            ", ".join(f"{number(runs)} {status}" for status, runs in group.statuses.items()),
            *(_spread(group.spread(name)) for name in names),
            ago(group.updated_ns, now_ns),
        )
        for group in shown
    ]
    columns = (f"{clean(name, 24)}#" for name in names)
    titles = (clean(key, 24).upper(), "RUNS#", "STATUS~", *columns, "UPDATED")
    console().print(table(titles, lines))
    if len(shown) < len(found):
        typer.echo(f"… and {plural(len(found) - len(shown), 'more group')}")


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return value(spread.mean) if spread.std is None else f"{spread.mean:.4g} ± {spread.std:.2g}"


def _step(row: RunRow) -> str:
    return "–" if row.last_step is None else number(row.last_step)


def _warn_of_problems(reader: HomeReader, rows: Sequence[RunRow]) -> None:
    """Runs that have ended and stand in the catalogue whole were read whole."""
    doubtful = [row.id for row in rows if row.status in ("unreadable", "running", "crashed")]
    for view in reader.views(doubtful):
        if view.problems:
            warn(f"run {view.id}: {view.problems[0]} (exptrack verify {view.id})")


def _title(run: RunInfo) -> str:
    return f"{clean(run.project, 40)}/{clean(run.name, 60)}"


@verb(
    app,
    examples=[
        "exptrack show latest",
        "exptrack show mnist/baseline --all",
        "exptrack show 3f2a --json",
    ],
)
def show(
    run: RunArgument,
    home: HomeOption = None,
    json: JsonOption = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All metrics and config keys, not only the first 40.")
    ] = False,
) -> None:
    """Show all about one run.

    Config, last values, system, streams, sinks, losses, where to look.
    """
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    sinks, places = reader.sink_states(view), places_of(reader, view.facts)
    if json:
        typer.echo(dumps(show_document(view, sinks, places)))
        return
    out = console()
    for part in _parts(reader, view, sinks, places, None if everything else _SHOWN):
        out.print(part)


def _parts(
    reader: HomeReader,
    view: RunView,
    sinks: list[SinkState],
    places: dict[str, str],
    most: int | None,
) -> Iterator[RenderableType]:
    facts, now_ns = view.facts, SystemClock().now_ns()
    yield Text.assemble((_title(view.run), "bold"), "  ", styled(view.status.name))
    yield pairs(_head(view, now_ns))
    yield from _mapping("Config", flatten(facts.run.config), most)
    yield from _mapping("Last values", facts.summary, most)
    yield from _mapping("System", _readable(facts.values.system), most)
    yield heading("Streams")
    yield _streams(reader, facts)
    yield heading("Sinks")
    yield _sinks(sinks) if sinks else Text("  none has begun with this run yet")
    yield heading("Losses")
    yield _ledger(facts) if facts.ledger else Text("  nothing was lost")
    yield from _dated(
        "Alerts", ((a.time_ns, f"{a.level}: {a.title} {a.text}") for a in facts.alerts)
    )
    yield from _dated("Notes", facts.notes)
    yield from _dated("Artifacts", ((a.time_ns, _artifact(a)) for a in facts.artifacts))
    for problem in view.problems:
        yield Text(f"\n  ! {clean(problem)}", "red")
    yield heading("Where to look")
    yield pairs((name, clean(place, 4_096)) for name, place in places.items())


def _head(view: RunView, now_ns: int) -> Iterator[Shown]:
    facts, run, status = view.facts, view.run, view.status
    yield "id", clean(run.run_id)
    if status.detail or status.exit_code is not None:
        code = "" if status.exit_code is None else f"exit code {status.exit_code}"
        yield "status", clean("; ".join(part for part in (code, status.detail) if part))
    yield "created", f"{moment(run.created_ns)} ({ago(run.created_ns, now_ns)})"
    if facts.updated_ns:
        length = span((facts.updated_ns - run.created_ns) / 1e9)
        yield "updated", f"{ago(facts.updated_ns, now_ns)}, {length} after it began"
    yield "logged", _logged(facts)
    if facts.attempts > 1 or facts.ranks > 1:
        yield "ran as", f"{plural(facts.attempts, 'attempt')}, {plural(facts.ranks, 'rank')}"
    for name, text in (("group", run.group), ("job type", run.job_type)):
        if text:
            yield name, clean(text)
    if run.notes:
        yield "notes", "\n".join(map(clean, run.notes.splitlines()[:_NOTE_LINES]))
    if run.tags:
        yield "tags", clean(", ".join(run.tags))


def _logged(facts: RunFacts) -> str:
    step = "" if facts.last_step is None else f", last step {number(facts.last_step)}"
    return f"{plural(facts.points, 'point')} in {plural(facts.rows, 'row')}{step}"


def _mapping(title: str, values: dict[str, Any], most: int | None) -> Iterator[RenderableType]:
    if not values:
        return
    names = sorted(values)[:most]
    yield heading(title)
    yield pairs((clean(name, 64), value(values[name])) for name in names)
    if len(names) < len(values):
        yield Text(f"  … and {plural(len(values) - len(names), 'more')}: --all")


def _readable(system: dict[str, Any]) -> dict[str, Any]:
    """The sampler's values, with bytes as people read them."""
    return {
        name: size(int(given)) if "bytes" in name and _is_number(given) else given
        for name, given in system.items()
    }


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and math.isfinite(given)


def _streams(reader: HomeReader, facts: RunFacts) -> RenderableType:
    rows = [
        (
            "sampler" if not held.is_trainer else f"rank {held.stream.rank}",
            str(held.stream.attempt),
            styled(_stream_state(reader, held)),
            number(held.rows),
            f"{clean(held.stream.host, 60)}:{held.stream.pid}",
        )
        for held in facts.streams.values()
    ]
    return table(
        ("  WHO", "ATTEMPT#", "STATUS", "ROWS#", "HOST:PID~"), [(f"  {r[0]}", *r[1:]) for r in rows]
    )


def _stream_state(reader: HomeReader, held: Any) -> str:
    return stream_status(held, reader.is_alive) if held.is_trainer else held.status


def _sinks(sinks: list[SinkState]) -> RenderableType:
    rows = [
        (
            f"  {clean(sink.name)}",
            styled(sink.status),
            number(sink.rows),
            number(sink.lag_rows),
            number(sink.dead_letters),
            clean(sink.reason),
        )
        for sink in sinks
    ]
    return table(("  SINK", "STATE", "ROWS#", "BEHIND#", "REFUSED#", "WHY~"), rows)


def _dated(title: str, entries: Iterable[tuple[int, str]]) -> Iterator[RenderableType]:
    """The newest texts of a list, each with its time."""
    newest = deque(entries, _NEWEST)
    if newest:
        yield heading(title)
        yield pairs((moment(time_ns), clean(text.strip())) for time_ns, text in newest)


def _artifact(entry: ArtifactEntry) -> str:
    return f"{entry.name} ({entry.type}, {size(entry.size_bytes)}, step {entry.step}): {entry.path}"


def _ledger(facts: RunFacts) -> RenderableType:
    rows = [
        (
            f"  rank {e.rank}",
            number(e.items),
            f"{e.first}–{e.last}",
            clean(e.reason),
            moment(e.time_ns),
        )
        for e in facts.ledger[-20:]
    ]
    return table(("  WHO", "ITEMS#", "SEQUENCES", "WHY~", "WHEN"), rows)
