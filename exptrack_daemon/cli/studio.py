"""`exptrack ui`: the studio in the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exptrack_daemon.cli.frame import HomeOption, app, home_path, verb
from exptrack_daemon.store.export import MissingExtra

if TYPE_CHECKING:
    from exptrack_daemon.web.server import Address


@verb(app, examples=["exptrack ui", "exptrack ui --port 7000 --no-browser"])
def ui(
    home: HomeOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Where to listen; 0: a free port.")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, open nothing.")
    ] = False,
) -> None:
    """Open the studio: all runs, live charts, comparison.

    On this machine's loopback only; Ctrl-C stops it.
    """
    open_studio(home_path(home), port, browser=not no_browser)


def open_studio(home: Path, port: int = 0, *, browser: bool = True) -> None:
    """Serve the studio until Ctrl-C."""
    try:
        from exptrack_daemon.web.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtra(f"the studio needs {error.name}: pip install 'exptrack[ui]'") from error

    def announce(address: Address) -> None:
        typer.echo(f"exptrack studio: {address.start}   (Ctrl-C stops it)")
        sys.stdout.flush()
        if browser and _has_display():
            webbrowser.open(address.start)

    serve(home, port, announce)


def _has_display() -> bool:
    """Whether somebody sits before this terminal who would see a browser open."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stdout.isatty() and bool(screen or sys.platform == "darwin")
