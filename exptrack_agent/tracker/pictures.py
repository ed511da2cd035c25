"""The picture of a run, drawn by another process from what the daemon holds, so that training does not wait.

`python -m exptrack_daemon.plots` reads the run through the store's door, writes a PNG and prints the data
that it drew as JSON. A thread waits for it (in a system call, without the interpreter) and logs the picture.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack

from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.tracker.shown import DrawnPicture

NAME = "training/overview"
_DRAWN_WITHIN_S = 600.0
_TAKEN_WITHIN_S = 10.0


class Visualization(Mapping[str, Any]):
    """The data of a picture, by panel: looking into it waits until it is drawn.

    Attributes:
        path: where the PNG stands, or will; None when it was not asked for.
        problem: why there is no picture, or "".
    """

    def __init__(self, run: Run, step: int, path: Path | None, *, log: bool) -> None:
        self.path = path
        self.problem = ""
        self._data: dict[str, Any] = {}
        self._log = log
        self._run = run
        self._step = step
        self._thread = threading.Thread(target=self._work, name="exptrack-picture", daemon=True)
        self._thread.start()

    def __getitem__(self, panel: str) -> Any:
        return self._drawn()[panel]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn())

    def __len__(self) -> int:
        return len(self._drawn())

    def __repr__(self) -> str:
        state = "drawing" if self._thread.is_alive() else self.problem or "drawn"
        return f"<picture of {self._run.name!r}, {state}>"

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it is done (or was given up) within that time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _drawn(self) -> dict[str, Any]:
        self.wait()
        return self._data

    def _work(self) -> None:
        try:
            self._data, png = draw(self._run, self.path)
            if self._log:
                _log_picture(self._run, png, self._step)
        except NotDrawn as error:
            self.problem = str(error)
            say_once("picture", f"there is no picture of the run: {error}")
        except Exception as error:  # noqa: BLE001  # a thread's top; a picture must not stop training
            self.problem = f"{type(error).__name__}: {error}"
            say_once("picture", f"there is no picture of the run: {self.problem}")


class NotDrawn(Exception):
    """There is no picture; the message says why."""


def draw(run: Run, path: Path | None) -> tuple[dict[str, Any], bytes]:
    """The data drawn and the PNG's bytes.

    Raises:
        NotDrawn: the daemon's part is not installed, does not know the run, or took too long.
    """
    if run.mode == "disabled":
        raise NotDrawn("this run records nothing")
    _bring_to_daemon(run)
    with tempfile.TemporaryDirectory(prefix="exptrack-") as folder:
        target = path if path is not None else Path(folder) / "overview.png"
        command = [sys.executable, "-m", "exptrack_daemon.plots", run.id, "--home", str(run.home)]
        output = _answer([*command, "--output", str(target), "--json"])
        return json.loads(output), target.read_bytes()


def _bring_to_daemon(run: Run) -> None:
    """Let a daemon take what was logged so far; one that was just started needs a moment."""
    pause, deadline = threading.Event(), time.monotonic() + _TAKEN_WITHIN_S
    while run.mode == "online" and not run.flush(5) and time.monotonic() < deadline:
        pause.wait(0.2)


def _answer(command: list[str]) -> bytes:
    environ = {**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DRAWN_WITHIN_S,
            env=environ,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotDrawn(f"it was not drawn within {_DRAWN_WITHIN_S:.0f} s") from None
    except OSError as error:
        raise NotDrawn(str(error)) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotDrawn(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout


def _log_picture(run: Run, png: bytes, step: int) -> None:
    """Log it beside training: not by `log`, whose count of steps is training's."""
    put_items(run, DrawnPicture(png).items(NAME, step, time.time_ns()))


def put_items(run: Run, items: list[dict[str, Any]]) -> None:
    """Store items that belong together, with nothing in between."""
    with run.lock:
        for item in items:
            if not run.put_item(msgpack.packb(item)):
                return
