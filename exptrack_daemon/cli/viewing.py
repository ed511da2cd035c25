"""`exptrack tensorboard` and `exptrack demo`: seeing something."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from exptrack_daemon.cli.exits import ExitCode
from exptrack_daemon.cli.frame import (
    HomeOption,
    app,
    fail,
    home_path,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.studio import open_studio
from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.reader import HomeReader

_HOST = "127.0.0.1"  # never wider: TensorBoard asks nobody for a password
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 5.0


@verb(
    app,
    examples=[
        "exptrack tensorboard",
        "exptrack tensorboard latest",
        "exptrack tensorboard --port 6006",
    ],
)
def tensorboard(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="One run; without it, all.", show_default=False),
    ] = None,
    home: HomeOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: a free one.")] = 0,
) -> None:
    """Start TensorBoard, for all runs or one.

    On this machine's loopback only; Ctrl-C stops it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtra("TensorBoard is not installed: pip install 'exptrack[tensorboard]'")
    folder = _folder(reading(home), run)
    chosen = port or _free_port()
    command = tensorboard_command(folder, chosen)
    with subprocess.Popen(command) as process:
        try:
            _announce(process, chosen)
            code = process.wait()
        except KeyboardInterrupt:
            _stop(process)
            return
        finally:
            _stop(process)
    if code:
        fail(
            f"TensorBoard ended with exit code {code}; what it said stands above",
            ExitCode.CHECK_FAILED,
        )


def tensorboard_command(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)),
        *("--host", _HOST, "--port", str(port), "--reload_interval", "2"),
        # by default a chart holds 1,000 points at random of each line
        *("--samples_per_plugin", "scalars=10000,images=100"),
    ]


def _folder(reader: HomeReader, run: str | None) -> Path:
    if run is None:
        if not reader.home.tensorboard.is_dir():
            raise RunNotFound(
                f"there is nothing for TensorBoard in {reader.home.path} yet; its sink makes the files"
                " while a daemon runs: exptrack daemon status"
            )
        return reader.home.tensorboard
    from exptrack_daemon.sinks.tensorboard.folders import find_folder

    view = reader.find(run)
    show_notices(reader)
    folder = find_folder(reader.home.tensorboard, view.facts.run)
    if folder is None:
        raise RunNotFound(
            f"run {view.id} has nothing for TensorBoard yet; bring it there:"
            f" exptrack replay {view.id} --to tensorboard"
        )
    return folder


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _announce(process: subprocess.Popen[bytes], port: int) -> None:
    """Say the address once somebody answers there."""
    pause = threading.Event()
    for _ in range(round(_READY_WITHIN_S / 0.1)):
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), 0.5):
            typer.echo(f"TensorBoard: http://{_HOST}:{port}/   (Ctrl-C stops it)")
            sys.stdout.flush()
            return
        pause.wait(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@verb(app, examples=["exptrack demo", "exptrack demo --home /tmp/try-exptrack"])
def demo(home: HomeOption = None) -> None:
    """Train a small model and see it everywhere.

    On a terminal the studio is open at the end; Ctrl-C leaves it.
    """
    try:
        from exptrack_daemon import demo as demo_part
    except ImportError as error:
        raise MissingExtra(f"the demo needs {error.name}: pip install 'exptrack[demo]'") from error
    sits_there = sys.stdin.isatty() and sys.stdout.isatty()
    code = demo_part.run(home_path(home), open_studio if sits_there else None)
    if code:
        raise typer.Exit(int(code))
