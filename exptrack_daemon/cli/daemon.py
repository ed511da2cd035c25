"""`exptrack daemon start|stop|status|run` and `exptrack recover`: the thing itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from exptrack_daemon.cli.exits import DaemonUnreachable, ExitCode
from exptrack_daemon.cli.frame import HomeOption, JsonOption, app, home_path, verb
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.render import (
    clean,
    console,
    heading,
    number,
    pairs,
    plural,
    size,
    span,
    styled,
    table,
)
from exptrack_daemon.cli.sparing import SparingGroup
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.errors import AlreadyRunning
from exptrack_daemon.home import Home

group = typer.Typer(
    cls=SparingGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Start, stop and look at the logger daemon of a home folder.",
    epilog="\b\nExamples:\n  exptrack daemon start\n  exptrack daemon status",
)
app.add_typer(group, name="daemon")


@verb(group, examples=["exptrack daemon start", "exptrack daemon start --home /data/exptrack"])
def start(
    home: HomeOption = None,
    json: JsonOption = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long it may take.")
    ] = 10,
) -> None:
    """Start the daemon in the background.

    Fine when it is running already.
    """
    from exptrack_daemon.supervisor import start_detached, status

    path = home_path(home)
    try:
        state, said = start_detached(path, timeout_s), "started"
    except AlreadyRunning:
        state, said = status(path), "running already"
    if json:
        typer.echo(dumps(state))
    else:
        typer.echo(f"Daemon {said}: pid {state.get('pid')}, home {clean(str(path))}")


@verb(group, examples=["exptrack daemon stop"])
def stop(
    home: HomeOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long it may take.")
    ] = 30,
) -> None:
    """Stop the daemon.

    What it has not delivered yet stays in the journals, and the next one goes on.
    """
    from exptrack_daemon.supervisor import stop as stop_daemon

    path = home_path(home)
    was_running = stop_daemon(path, timeout_s)
    typer.echo(
        "Daemon stopped." if was_running else f"No daemon was running for {clean(str(path))}."
    )


@verb(group, name="run", examples=["exptrack daemon run", "exptrack daemon run --idle-exit 600"])
def run_foreground(
    home: HomeOption = None,
    idle_exit_s: Annotated[
        float | None,
        typer.Option(
            "--idle-exit",
            min=0,
            metavar="SECONDS",
            help="Leave after so long without a trainer.",
            show_default=False,
        ),
    ] = None,
    autostarted: Annotated[bool, typer.Option("--autostarted", hidden=True)] = False,
) -> None:
    """Run the daemon in the foreground.

    Until Ctrl-C or SIGTERM; for systemd and containers.
    """
    from exptrack_daemon.supervisor import run_daemon

    code = run_daemon(home_path(home), autostarted=autostarted, idle_exit_s=idle_exit_s)
    raise typer.Exit(code)


@verb(group, examples=["exptrack daemon status", "exptrack daemon status --json"])
def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show the daemon at a glance.

    Exit code 4 when none is running.
    """
    from exptrack_daemon.supervisor import status as ask_status

    path = home_path(home)
    state = ask_status(path)
    if json:
        typer.echo(dumps(state))
        raise typer.Exit(ExitCode.OK if _answers(state) else ExitCode.DAEMON_UNREACHABLE)
    if not state.get("running"):
        raise DaemonUnreachable(
            f"no daemon is running for {path}; start one: exptrack daemon start"
        )
    if not _answers(state):
        raise DaemonUnreachable(
            f"a daemon holds {path} but does not answer; ask again, then look into {Home(path).log}"
        )
    _print_status(console(), state)


def _answers(state: dict[str, Any]) -> bool:
    return bool(state.get("running")) and state.get("responding") is not False


def _print_status(out: Console, state: dict[str, Any]) -> None:
    now_ns = SystemClock().now_ns()
    started_ns = int(state.get("started_ns") or 0)
    up = span((now_ns - started_ns) / 1e9)
    out.print(Text.assemble(("exptrack daemon", "bold"), "  ", ("running", "green"), f"  for {up}"))
    out.print(pairs(_head(state)))
    processes, sinks = state.get("processes") or [], state.get("sinks") or []
    if processes:
        out.print(heading("Processes"))
        out.print(
            table(
                ("  NAME", "STATE", "PID#", "RESTARTS#", "MEMORY#", "CPU#"),
                map(_process, processes),
            )
        )
    if sinks:
        out.print(heading("Sinks"))
        out.print(table(("  NAME", "STATE", "BEHIND#", "REFUSED#", "WHY~"), map(_sink, sinks)))


def _head(state: dict[str, Any]) -> list[tuple[str, str]]:
    intake = state.get("intake") or {}
    taken = (
        f"{plural(int(intake.get('points', 0)), 'point')} in {plural(int(intake.get('rows', 0)), 'row')},"
        f" {plural(int(intake.get('frames', 0)), 'frame')}, {size(int(intake.get('bytes', 0)))}"
    )
    rows = [
        ("home", clean(str(state.get("home", "")), 4_096)),
        ("pid", f"{state.get('pid')} (exptrack {clean(str(state.get('version', '?')))})"),
        ("taken in", taken),
    ]
    if rejected := int(intake.get("rejected", 0)):
        rows.append(("refused", f"{plural(rejected, 'frame')} (kept in quarantine)"))
    rows.append(("disk free", size(int(state.get("disk_free_bytes") or 0))))
    return rows


def _process(process: dict[str, Any]) -> tuple[str | Text, ...]:
    return (
        f"  {clean(str(process.get('name')))}",
        styled(str(process.get("state"))),
        str(process.get("pid") or "–"),
        number(int(process.get("restarts") or 0)),
        size(int(process.get("rss_bytes") or 0)),
        f"{float(process.get('cpu_s') or 0):.1f} s",
    )


def _sink(sink: dict[str, Any]) -> tuple[str | Text, ...]:
    return (
        f"  {clean(str(sink.get('name')))}",
        styled(str(sink.get("state"))),
        number(int(sink.get("lag_rows") or 0)),
        number(int(sink.get("dead_letters") or 0)),
        clean(str(sink.get("reason") or "")),
    )


@verb(app, examples=["exptrack recover", "exptrack recover --home /data/exptrack --json"])
def recover(home: HomeOption = None, json: JsonOption = False) -> None:
    """Bring in the rows that dead trainers left.

    They stand in rings (shared memory) and spools until a daemon, or this, takes them.
    """
    from exptrack_daemon.supervisor import recover as bring_in

    found = bring_in(home_path(home))
    if json:
        typer.echo(dumps(found))
    elif not found.get("streams"):
        typer.echo("Nothing was left behind.")
    else:
        rows = int(found.get("rows", 0))
        what = plural(rows, "row") if rows else "what was left"
        typer.echo(
            f"Brought in {what} of {plural(int(found['streams']), 'stream')}. See: exptrack runs"
        )
