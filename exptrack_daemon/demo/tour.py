"""The tour: daemon, training, waiting for the sinks, counting, and the addresses of what can be seen."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from exptrack_daemon import supervisor
from exptrack_daemon.demo.counting import Tally, tally_of
from exptrack_daemon.errors import AlreadyRunning, ExptrackError
from exptrack_daemon.home import Home
from exptrack_daemon.store import open_home

EPOCHS = 12
_DELIVERED_WITHIN_S = 60.0
_NEEDED = ("torch", "sklearn", "matplotlib", "numpy", "tensorboard", "wandb")
_SETTINGS = '[sinks.wandb]\nmode = "offline"    # no account needed; `wandb sync` sends it later\n'


def run(home: Path, show: Callable[[Path], None] | None = None) -> int:
    """Do it all; returns 0 when every count agrees, else 1.

    `show` is called at the end, while the daemon still runs, to show the home to whoever sits there.

    Raises:
        ExptrackError: something that the demo needs is missing or in the way.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExptrackError(f"the demo needs {', '.join(missing)}: pip install 'exptrack[demo]'")
    console = Console()
    began = time.monotonic()
    _prepare(home)
    run_id = f"demo{secrets.token_hex(3)}"
    with _steps(console) as step:
        step(f"Starting the daemon in {home} …")
        started = _start_daemon(home)
        step("Training a CNN on 1,797 handwritten digits …")
        logged = _train(home, run_id)
        step("Waiting until every sink has everything …")
        _wait_for_sinks(home, run_id)
        step("Reading everything back …")
        tallies = tally_of(home, run_id)
    agree = _report(console, home, run_id, logged, tallies)
    console.print(f"\nThat took {time.monotonic() - began:.1f} s.", style="dim")
    try:
        if show is not None:
            show(home)
    finally:
        if started:
            supervisor.stop(home)
    return 0 if agree else 1


def _prepare(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not Home(home).settings.exists():
        Home(home).settings.write_text(_SETTINGS)


def _start_daemon(home: Path) -> bool:
    """True if it was not running before."""
    try:
        supervisor.start_detached(home, timeout_s=30)
    except AlreadyRunning:
        return False
    return True


def _train(home: Path, run_id: str) -> dict[str, int]:
    command = [sys.executable, "-m", "exptrack_daemon.demo.train", str(home), run_id, str(EPOCHS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise ExptrackError(f"the training ended with {done.returncode}:\n{done.stderr[-2000:]}")
    logged: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return logged


def _wait_for_sinks(home: Path, run_id: str) -> None:
    """Until each sink settled the whole journal, or time is over (the counts then show what is missing)."""
    reader = open_home(home)
    pause = threading.Event()
    deadline = time.monotonic() + _DELIVERED_WITHIN_S
    while time.monotonic() < deadline:
        cursors = [
            reader.cursor(run_id, name) for name in ("catalog", "store", "tensorboard", "wandb")
        ]
        if all(cursor is not None and cursor.ended for cursor in cursors):
            return
        pause.wait(0.2)


def _report(
    console: Console, home: Path, run_id: str, logged: dict[str, int], tallies: list[Tally]
) -> bool:
    wanted = Tally("logged by the training", logged["rows"], logged["points"], logged["media"])
    table = Table(title="One run, counted everywhere", title_justify="left")
    table.add_column("where")
    for column in ("rows", "values", "media"):
        table.add_column(column, justify="right")
    table.add_column("")
    agree = True
    for tally in (wanted, *tallies):
        same = tally.agrees_with(wanted)
        agree = agree and same
        numbers = ("–" if n is None else f"{n:,}" for n in (tally.rows, tally.points, tally.media))
        table.add_row(tally.where, *numbers, "[green]✓[/]" if same else f"[red]✗ {tally.note}[/]")
    console.print(table)
    reader = open_home(home)
    view = reader.find(run_id)
    summary = view.facts.summary
    console.print(
        f"\nRun [bold]{view.run.name}[/] ({run_id}) {view.status.name}:"
        f" validation accuracy {summary.get('val/accuracy', float('nan')):.3f},"
        f" loss {summary.get('val/loss', float('nan')):.3f}"
    )
    console.print("\nLook at it:")
    where = f"--home {home}"
    exptrack, wandb = _command("exptrack"), _command("wandb")
    for command, what in (
        (
            f"{exptrack} ui {where}",
            "the studio in the browser: runs, live charts, compare, a training",
        ),
        (f"{exptrack} tensorboard {where}", "curves, histograms, images, hparams in the browser"),
        (f"{exptrack} show {run_id} {where}", "config, summary, system, sinks, losses"),
        (f"{exptrack} plot {run_id} {where} -o run.png", "the picture of the training"),
        (f"{exptrack} export {run_id} {where} --format csv -o run.csv", "every value"),
        (
            f"{wandb} sync {home}/runs/{run_id}/wandb/wandb/offline-run-*",
            "to W&B, if you have an account",
        ),
    ):
        console.print(f"  {command}", style="cyan", highlight=False, soft_wrap=True)
        console.print(f"      {what}", style="dim")
    if not agree:
        console.print(
            "\n[red]The counts do not agree.[/] `exptrack verify` and daemon.log say more."
        )
    return agree


def _command(name: str) -> str:
    """How to call a program of this installation: by name if that is the one on the path."""
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).resolve() == ours.resolve():
        return name
    with contextlib.suppress(ValueError):
        return str(ours.relative_to(Path.cwd()))
    return str(ours)


class _steps:  # noqa: N801  # reads as a word where it is used
    """A spinner with one line at a time; on a pipe, plain lines."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Callable[[str], None]:
        if self._console.is_terminal:
            self._progress.start()
        return self._say

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def _say(self, text: str) -> None:
        for task in self._progress.task_ids:
            self._progress.update(task, total=1, completed=1)
        if self._console.is_terminal:
            self._progress.add_task(text, total=None)
        else:
            self._console.print(text, highlight=False, soft_wrap=True)
