"""`exptrack runs` and `exptrack show`: what there is, and all about one run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

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
from exptrack_daemon.home import Home
from exptrack_daemon.store.facts import ArtifactEntry, RunFacts
from exptrack_daemon.store.reader import HomeReader, RunView, SinkState
from exptrack_daemon.store.status import stream_status

_SHOWN = 40
_NEWEST = 10
Shown = tuple[str, str | Text]


@verb(app, examples=["exptrack runs", "exptrack runs -n 5", "exptrack runs --json | jq '.[].id'"])
def runs(
    home: HomeOption = None,
    json: JsonOption = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, metavar="N", help="The newest N only; 0: all.")
    ] = 0,
) -> None:
    """List all runs, newest first."""
    reader = reading(home)
    views = reader.runs(values=json)
    show_notices(reader)
    shown = views[:limit] if limit else views
    if json:
        typer.echo(dumps([run_document(view) for view in shown]))
    elif not views:
        typer.echo(f"No runs in {clean(str(reader.home.path))} yet. Make one: exptrack demo")
    else:
        _print_runs(console(), shown)
        if len(shown) < len(views):
            typer.echo(f"… and {plural(len(views) - len(shown), 'older run')}")


def _print_runs(out: Console, views: list[RunView]) -> None:
    now_ns = SystemClock().now_ns()
    rows = [
        (
            clean(view.id),
            styled(view.status.name),
            _title(view.facts),
            "–" if view.facts.last_step is None else number(view.facts.last_step),
            number(view.facts.points),
            ago(view.facts.updated_ns, now_ns),
        )
        for view in views
    ]
    out.print(table(("ID", "STATUS", "PROJECT/NAME~", "STEP#", "POINTS#", "UPDATED"), rows))
    for view in views:
        if view.problems:
            warn(f"run {view.id}: {view.problems[0]} (exptrack verify {view.id})")


def _title(facts: RunFacts) -> str:
    return f"{clean(facts.run.project, 40)}/{clean(facts.run.name, 60)}"


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
    sinks, places = reader.sink_states(view), _places(reader.home, view.facts)
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
    yield Text.assemble((_title(facts), "bold"), "  ", styled(view.status.name))
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
    facts, run, status = view.facts, view.facts.run, view.status
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
    for name, text in (("group", run.group), ("job type", run.job_type), ("notes", run.notes)):
        if text:
            yield name, clean(text)
    if run.tags:
        yield "tags", clean(", ".join(run.tags))


def _logged(facts: RunFacts) -> str:
    step = "" if facts.last_step is None else f", last step {number(facts.last_step)}"
    return f"{plural(facts.points, 'point')} in {plural(facts.rows, 'row')}{step}"


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, for reading."""
    flat: dict[str, Any] = {}
    for key, item in config.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item and prefix.count(".") < 8:
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat


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


def _places(home: Home, facts: RunFacts) -> dict[str, str]:
    """The folders of this run that exist."""
    from exptrack_daemon.sinks.tensorboard.folders import find_folder

    run_id = facts.run.run_id
    places = {"journal": home.journal(run_id), "wandb": home.run(run_id) / "wandb"}
    board = find_folder(home.tensorboard, facts.run)
    if board is not None:
        places["tensorboard"] = board
    return {name: str(place) for name, place in places.items() if place.exists()}
