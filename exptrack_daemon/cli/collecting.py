"""`exptrack gc`: runs that a retention rule lets go, for good."""

from __future__ import annotations

from typing import Annotated

import typer

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, app, reading, show_notices, verb
from exptrack_daemon.cli.removing import YesOption, board_of, why_not
from exptrack_daemon.cli.render import ago, clean, console, plural, size, table, warn
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.store.matching import length_of
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.store.retention import Candidate, Rule, choose_to_go, size_from
from exptrack_daemon.store.trash import Removed, empty, size_of, throw_away


@verb(
    app,
    examples=[
        "exptrack gc --older-than 30d",
        "exptrack gc --larger-than 5GB --keep-last 20 --yes",
        "exptrack gc --filter 'status=failed and not tag:keep' --older-than 7d",
    ],
)
def gc(
    home: HomeOption = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="No news for so long: 12h, 30d, 8w."),
    ] = None,
    larger_than: Annotated[
        str | None,
        typer.Option("--larger-than", metavar="SIZE", help="Until all runs take no more: 5GB."),
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="FILTER", help="Only runs that fit it.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Only runs with this tag.")
    ] = None,
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=0, metavar="N", help="The newest N of them stay.")
    ] = 0,
    yes: YesOption = False,
) -> None:
    """Free disk space by a rule.

    Shows what would go; removes it, for good, with --yes only.
    """
    rule = _rule(older_than, larger_than, keep_last)
    if not (older_than or larger_than or filter_ or tag):
        raise UsageWrong("say which runs may go: --older-than, --larger-than, --filter or --tag")
    reader = reading(home)
    sizes, views = _look(reader)
    page = reader.query(filter_ or "")
    wanted = {row.id for row in page.rows if not tag or tag in row.tags}
    show_notices(reader)
    for note in page.notes:
        warn(note)
    candidates = [
        Candidate(run, view.facts.updated_ns, sizes[run])
        for run, view in views.items()
        if run in wanted and not why_not(reader, view) and not _is_late(reader, view)
    ]
    now_ns = SystemClock().now_ns()
    going = choose_to_go(candidates, sum(sizes.values()), rule, now_ns)
    if not going:
        typer.echo("Nothing to remove.")
        return
    _print(going, views, now_ns)
    total = size(sum(run.size_bytes for run in going))
    if not yes:
        typer.echo(f"{plural(len(going), 'run')}, {total} would be freed. Do it: --yes")
        return
    for run in going:
        _remove(reader, views[run.id], now_ns)
    typer.echo(f"{plural(len(going), 'run')} removed, {total} freed.")


def _rule(older_than: str | None, larger_than: str | None, keep_last: int) -> Rule:
    try:
        return Rule(
            older_than_s=length_of(older_than) if older_than else None,
            larger_than_bytes=size_from(larger_than) if larger_than else None,
            keep_last=keep_last,
        )
    except ValueError as error:
        raise UsageWrong(str(error)) from error


def _look(reader: HomeReader) -> tuple[dict[str, int], dict[str, RunView]]:
    """All runs, and the bytes that each takes."""
    views = {view.id: view for view in reader.runs()}
    sizes = {}
    for run, view in views.items():
        board = board_of(reader.home, view)
        sizes[run] = size_of(reader.home.run(run), *([board] if board else []))
    return sizes, views


def _is_late(reader: HomeReader, view: RunView) -> bool:
    """Whether a sink has not taken all of the run yet."""
    return any(state.lag_rows for state in reader.sink_states(view))


def _print(going: list[Candidate], views: dict[str, RunView], now_ns: int) -> None:
    lines = []
    for item in going:
        run = views[item.id].run
        title = f"{clean(run.project, 40)}/{clean(run.name, 60)}"
        lines.append((clean(item.id), title, size(item.size_bytes), ago(item.updated_ns, now_ns)))
    console().print(table(("ID", "PROJECT/NAME~", "SIZE#", "UPDATED"), lines))


def _remove(reader: HomeReader, view: RunView, now_ns: int) -> None:
    run = view.facts.run
    place = throw_away(reader.home, run, board_of(reader.home, view), now_ns)
    empty(reader.home, place, Removed(run.run_id, run.project, run.name, now_ns))
