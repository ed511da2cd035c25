"""The trainer's side of the writer: one thread that starts it, hears it, and replaces a killed one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

from exptrack_agent.torch.checkpoints.folders import WRITER_LOG

_MODULE = "exptrack_agent.torch.checkpoints.writer"
_MOST_FRUITLESS = 3
_LAST_WORDS = 300
_OURS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "WANDB_SERVICE")
"""What belongs to the training process and would mislead another."""


class Saves(Protocol):
    """Who has something to be written."""

    def written(self, result: dict[str, Any]) -> None:
        """Hear what became of a save."""
        ...

    def is_waiting(self) -> bool:
        """Whether a staged save is still to be written."""
        ...

    def given_up(self, why: str) -> None:
        """No writer can be had: nothing that is staged will be written now."""
        ...


class WriterLink:
    """Keeps a writer for a folder of stages while there is something to write."""

    def __init__(self, folder: Path, saves: Saves) -> None:
        self._folder = folder
        self._saves = saves
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stdin = -1
        self._is_closed = False
        self.pid = 0
        """The writer's process; 0: there is none."""

    def wake(self) -> None:
        """Have a writer look at the stages, one that is started if need be. Waits for nothing."""
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._keep, name="exptrack-checkpoints", daemon=True
                )
                self._thread.start()
            elif self._stdin >= 0:
                with contextlib.suppress(OSError):  # it is at work, or gone: the thread will know
                    os.write(self._stdin, b"\n")

    def close(self, timeout_s: float) -> bool:
        """Let the writer end when it has written all; whether it has ended within the time."""
        with self._lock:
            self._is_closed = True
            self._hang_up()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _hang_up(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
        self._stdin = -1

    # --- the thread -----------------------------------------------------------------------------

    def _keep(self) -> None:
        fruitless = 0
        while True:
            heard, words = self._one_writer()
            fruitless = 0 if heard else fruitless + 1
            if fruitless >= _MOST_FRUITLESS and self._saves.is_waiting():
                self._saves.given_up(words or "its process ends as soon as it begins")
            with self._lock:
                if self._is_closed or not self._saves.is_waiting():
                    self._thread = None
                    return

    def _one_writer(self) -> tuple[int, str]:
        """Start a writer and hear it to its end: how many results, and its last words."""
        try:
            process = self._start()
        except OSError as error:
            return 0, str(error)
        heard = 0
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # cut off in the middle
                    self._saves.written(json.loads(line))
                    heard += 1
        with self._lock:
            self._hang_up()
            self.pid = 0
        with contextlib.suppress(ChildProcessError):  # reaped by the program
            os.waitpid(process.pid, 0)
        return heard, self._last_words()

    def _start(self) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        log = os.open(
            self._folder / WRITER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(self._folder), str(os.getpid())],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # signals to the trainer's group must not reach it
                env=writer_environment(),
                cwd="/",
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
            os.close(log)
        process.returncode = 0  # it outlives this process: no warning at its end
        with self._lock:
            self._stdin, self.pid = writing, process.pid
            if self._is_closed:
                self._hang_up()
        return process

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, IndexError):
            text = (self._folder / WRITER_LOG).read_text("utf-8", "replace")
            return text.strip().splitlines()[-1][-_LAST_WORDS:]
        return ""


def write_orphans(folder: Path) -> subprocess.Popen[bytes]:
    """Start a writer for a folder of stages whose trainer is gone; it waits for one that is still at it.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(folder), "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=writer_environment(),
        cwd="/",
    )


def writer_environment() -> dict[str, str]:
    """A writer computes nothing: one thread, no device."""
    environ = {name: value for name, value in os.environ.items() if name not in _OURS}
    return environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONSAFEPATH": "1"}
