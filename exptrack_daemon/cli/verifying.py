"""`exptrack verify` and `exptrack replay`: is all accounted for, and building a sink anew."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from exptrack_daemon.cli.exits import ExitCode
from exptrack_daemon.cli.frame import (
    HomeOption,
    JsonOption,
    RunArgument,
    app,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.machine import dumps, verdict_document
from exptrack_daemon.cli.render import clean, console, number, plural
from exptrack_daemon.errors import ExptrackError, RunNotFound
from exptrack_daemon.sinks.registry import sink_names
from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.store.verify import Verdict, verify_run

_REMOTE = frozenset({"wandb", "mlflow"})


@verb(app, examples=["exptrack verify", "exptrack verify latest", "exptrack verify --json"])
def verify(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="One run; without it, all.", show_default=False),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check that every row is accounted for.

    Exit code 1 if not. Reads the whole journal, the sinks' cursors and the loss ledger:
    produced = delivered + pending + lost.
    """
    reader = reading(home)
    ids = reader.run_ids() if run is None else [reader.find(run).id]
    verdicts = [_verify(reader, run_id) for run_id in ids]
    show_notices(reader)
    if json:
        typer.echo(dumps([verdict_document(verdict) for verdict in verdicts]))
    else:
        _print(console(), verdicts)
    if any(verdict.problems for verdict in verdicts):
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _verify(reader: HomeReader, run_id: str) -> Verdict:
    try:
        return verify_run(reader, run_id)
    except (ExptrackError, OSError) as error:
        return Verdict(run_id, problems=[f"its journal cannot be read: {error}"])


def _print(out: Console, verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        mark = Text("bad ", "red") if verdict.problems else Text("ok  ", "green")
        out.print(Text.assemble(mark, (clean(verdict.run_id), "bold"), f"  {_sums(verdict)}"))
        for sink in verdict.sinks:
            out.print(
                f"      {clean(sink.name)}: {number(sink.rows)} rows delivered,"
                f" {number(max(0, sink.pending_rows))} pending"
            )
        for note in verdict.notes[:20]:
            out.print(Text(f"      {clean(note, 500)}", "yellow"))
        for problem in verdict.problems[:50]:
            out.print(Text(f"    ! {clean(problem, 1_000)}", "red"))
    bad = sum(1 for verdict in verdicts if verdict.problems)
    if not verdicts:
        out.print("There are no runs to verify.")
    elif bad:
        out.print(f"{plural(bad, 'run')} of {len(verdicts)} not accounted for.")
    else:
        out.print(f"Every row of {plural(len(verdicts), 'run')} is accounted for.")


def _sums(verdict: Verdict) -> str:
    return (
        f"{number(verdict.produced_items)} items = {number(verdict.journal_items)} in the journal"
        f" + {number(verdict.ledger_items)} lost"
    )


@verb(
    app,
    examples=["exptrack replay latest --to tensorboard", "exptrack replay 3f2a --to wandb --yes"],
)
def replay(
    run: RunArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="SINK", help="The sink to rebuild.", show_default=False)
    ],
    home: HomeOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Rebuild one sink of a run from the journal."""
    reader = reading(home)
    view = reader.find(run)
    _check_sink(to, reader.sinks_of(view.id))
    typer.echo(_plan(view.id, to, view.facts.position.rows))
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        typer.confirm("Go on?", abort=True)
    from exptrack_daemon.supervisor import request_replay

    request_replay(reader.home.path, view.id, to)
    typer.echo(f"Asked for. Watch it: exptrack show {view.id}")


def _check_sink(name: str, begun: list[str]) -> None:
    known = {*begun, *sink_names()}
    if name not in known:
        raise RunNotFound(f"no sink {name!r}; there are: {', '.join(sorted(known))}")


def _plan(run_id: str, sink: str, rows: int) -> str:
    plan = (
        f"The {sink} sink forgets how far it is with run {run_id}, and is fed its {number(rows)} rows again"
        " from the journal's beginning: now if a daemon is running, else when the next one starts."
    )
    if sink in _REMOTE:
        plan += f" What {sink} holds of the run already stays there, and may then be there twice."
    return plan
