"""`exptrack rm`, `trash` and `restore`: runs that nobody wants, and those that somebody does after all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, JsonOption, app, reading, show_notices, verb
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.render import ago, clean, console, plural, size, table, warn
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.trash import empty, read_trash, size_of, throw_away
from exptrack_daemon.store.trash import restore as bring_back

RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RUN…", help="Ids, unique beginnings, names.", show_default=False),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@verb(app, examples=["exptrack rm latest", "exptrack rm 3f2a mnist/old --yes"])
def rm(runs: RunsArgument, home: HomeOption = None, yes: YesOption = False) -> None:
    """Move runs to the trash.

    With their TensorBoard and wandb folders; what is at W&B or MLflow stays there.
    """
    reader = reading(home)
    views = list({view.id: view for view in map(reader.find, runs)}.values())
    show_notices(reader)
    for view in views:
        if reason := why_not(reader, view):
            raise UsageWrong(reason)
    for view in views:
        typer.echo(_told(reader, view))
    if not yes and not typer.confirm(f"Move {plural(len(views), 'run')} to the trash?"):
        raise typer.Abort
    for view in views:
        throw_away(reader.home, view.facts.run, board_of(reader.home, view), SystemClock().now_ns())
    typer.echo(f"{plural(len(views), 'run')} in the trash. Back: exptrack restore RUN")


@verb(app, examples=["exptrack trash", "exptrack trash --empty"])
def trash(
    home: HomeOption = None,
    json: JsonOption = False,
    clear: Annotated[bool, typer.Option("--empty", help="Remove all of it for good.")] = False,
    yes: YesOption = False,
) -> None:
    """Show what was removed, or empty the trash."""
    reader = reading(home)
    found = read_trash(reader.home)
    if json:
        rows = [{**_fields(item), "bytes": size_of(place)} for place, item in found]
        typer.echo(dumps(rows))
    elif not found:
        typer.echo("The trash is empty.")
    else:
        now_ns = SystemClock().now_ns()
        lines = [
            (
                clean(item.run_id),
                f"{clean(item.project, 40)}/{clean(item.name, 60)}",
                size(size_of(place)),
                ago(item.removed_ns, now_ns),
            )
            for place, item in found
        ]
        console().print(table(("ID", "PROJECT/NAME~", "SIZE#", "REMOVED"), lines))
    if not clear or not found:
        return
    if not yes and not typer.confirm(f"Remove {plural(len(found), 'run')} for good?"):
        raise typer.Abort
    freed = sum(empty(reader.home, place, item) for place, item in found)
    typer.echo(f"{size(freed)} freed.", err=json)


@verb(app, examples=["exptrack restore 3f2a0c", "exptrack restore baseline"])
def restore(runs: RunsArgument, home: HomeOption = None) -> None:
    """Bring runs back from the trash."""
    reader = reading(home)
    for text in runs:
        item = bring_back(reader.home, text)
        typer.echo(f"{clean(item.project, 40)}/{clean(item.name, 60)} ({item.run_id}) is back.")


def _fields(item: object) -> dict[str, object]:
    return {name: getattr(item, name) for name in ("run_id", "project", "name", "removed_ns")}


def why_not(reader: HomeReader, view: RunView) -> str:
    """Why a run can't be removed now; "" when it can."""
    if view.status.name == "running" or view.id in reader.live_runs():
        return f"run {view.id} is running; stop it first"
    roots = (*reader.home.ring_roots, reader.home.spool)
    if any((root / stream).exists() for root in roots for stream in view.facts.streams):
        return f"rows of run {view.id} wait in its ring; bring them in: exptrack recover"
    return ""


def _told(reader: HomeReader, view: RunView) -> str:
    run, board = view.run, board_of(reader.home, view)
    taken = size(size_of(reader.home.run(view.id), *([board] if board else [])))
    late = [state for state in reader.sink_states(view) if state.lag_rows]
    behind = "; ".join(f"{plural(s.lag_rows, 'row')} not at {clean(s.name)} yet" for s in late)
    title = f"{clean(run.project, 40)}/{clean(run.name, 60)} ({view.id})"
    return f"  {title}: {taken}{f'; {behind}' if behind else ''}"


def board_of(home: Home, view: RunView) -> Path | None:
    """The run's TensorBoard folder, when it stands in the home; one elsewhere is the user's."""
    from exptrack_daemon.sinks.tensorboard.folders import find_folder

    folder = find_folder(home.tensorboard, view.facts.run)
    if folder is None or folder.is_relative_to(home.tensorboard):
        return folder
    warn(f"run {view.id}: its TensorBoard files in {folder} stay")
    return None
