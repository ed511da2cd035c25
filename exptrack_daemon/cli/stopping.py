"""`exptrack stop`: asking a run to stop."""

from __future__ import annotations

import threading
import time
from typing import Annotated

import typer

from exptrack_daemon.cli.frame import HomeOption, RunArgument, app, reading, show_notices, verb
from exptrack_daemon.cli.render import clean
from exptrack_daemon.store.stopping import stop_run

_LOOK_EVERY_S = 0.25


@verb(
    app,
    examples=[
        "exptrack stop latest",
        "exptrack stop 3f2a --reason 'diverged at step 900' --wait 60",
    ],
)
def stop(
    run: RunArgument,
    home: HomeOption = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Shown to the training.")
    ] = "exptrack stop",
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait until it has ended.")
    ] = 0,
) -> None:
    """Ask a running run to stop.

    The training sees `run.stop_requested` within about a second, and ends when it likes to; those of Hugging
    Face and Keras with our callback do so by themselves. Nothing is killed.
    """
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    stop_run(reader, view, reason)
    name = f"{clean(view.run.project, 40)}/{clean(view.run.name, 60)} ({view.id})"
    typer.echo(f"Asked {name} to stop.")
    if not wait:
        return
    pause, deadline = threading.Event(), time.monotonic() + wait
    while reader.status(reader.view(view.id).facts).name == "running":
        if time.monotonic() > deadline:
            typer.echo(f"It still runs after {wait:g} s.", err=True)
            raise typer.Exit(1)
        pause.wait(_LOOK_EVERY_S)
    typer.echo(f"It is {reader.view(view.id).status.name}.")
