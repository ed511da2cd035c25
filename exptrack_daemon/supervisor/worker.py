"""One worker process as the supervisor sees it: started, listened to, killed when hung, started again."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exptrack_daemon.lifeline import is_same_process

logger = logging.getLogger(__name__)

EXIT_RESTART = 75
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
RESTARTS_APART_S = 5.0
"""A worker that asks for a new process sooner than this waits like one that died."""
STARTS_WITHIN_S = 30.0
"""Imports and a predecessor's lock may take so long before the first sign of life."""
GIVES_WAY_NICE = 5
_READ_BYTES = 65_536
_MOST_PENDING = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What to run, and how long it may be silent."""

    name: str
    module: str
    arguments: tuple[str, ...]
    hung_after_s: float
    gives_way: bool = False
    """Training on the same cores comes first; for work that may be late."""


@dataclass(slots=True)
class Worker:
    """A worker process and its history."""

    spec: WorkerSpec
    restarts: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    heard_at: float = 0.0
    has_reported: bool = False
    _gave_way: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _pending: bytes = b""
    _started_at: float = 0.0
    _start_after: float = float("-inf")
    _pause_s: float = FIRST_PAUSE_S

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def descriptor(self) -> int | None:
        """Where its reports come from."""
        if self._process is None or self._process.stdout is None:
            return None
        return self._process.stdout.fileno()

    @property
    def state(self) -> str:
        """`starting`, `running` or `waiting` (for its next start)."""
        if self._process is None:
            return "waiting"
        return "running" if self.has_reported else "starting"

    def start(self, now: float) -> None:
        """Start the process if it is time to."""
        if self._process is not None or now < self._start_after:
            return
        spec = self.spec
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", spec.module, *spec.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # its helpers can be killed with it, and Ctrl-C is ours to handle
                env={
                    **os.environ,
                    "PYTHONSAFEPATH": "1",
                },  # no module of ours comes from the user's folder
            )
        except OSError as error:
            logger.warning("%s cannot be started: %s.", spec.name, error)
            self._wait_longer(now)
            return
        self._gave_way = not spec.gives_way
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._started_at = self.heard_at = now
        self.has_reported = False
        self._pending = b""
        self.facts.pop("children", None)

    def listen(self, now: float) -> None:
        """Read its reports; each is a sign of life."""
        if self.descriptor is None:
            return
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, _READ_BYTES):
                self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        self._pending = self._pending[-_MOST_PENDING:]
        for line in lines:
            with contextlib.suppress(ValueError):
                facts = json.loads(line)
                if isinstance(facts, dict):
                    self.facts, self.heard_at, self.has_reported = facts, now, True

    def check(self, now: float) -> None:
        """Notice its end, or that it hangs."""
        if self._process is None:
            return
        if not self._gave_way:
            self._gave_way = give_way(self._process.pid)
        code = self._process.poll()
        if code is None:
            least = 0.0 if self.has_reported else STARTS_WITHIN_S
            if now - self.heard_at > max(least, self.spec.hung_after_s):
                logger.warning(
                    "%s gave no sign for %.0f s; it is killed.", self.spec.name, now - self.heard_at
                )
                self.kill()
            return
        self.listen(now)
        self._ended(code, now)

    def ask_to_stop(self) -> None:
        """Close its stdin, which is how it knows."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False if it is still there."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._clean_up()
        return True

    def kill(self) -> None:
        """SIGKILL it, its session, and the helpers it told of."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pid, born_s in self.facts.get("children", ()):
            if is_same_process(pid, born_s):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _ended(self, code: int, now: float) -> None:
        self.kill()  # whatever it left behind
        self._clean_up()
        self.restarts += 1
        lived_s = now - self._started_at
        if lived_s > STEADY_AFTER_S:
            self._pause_s = FIRST_PAUSE_S
        if code == EXIT_RESTART and lived_s > RESTARTS_APART_S:
            self._start_after = now
            return
        logger.warning(
            "%s ended with %d; it starts again in %.1f s.", self.spec.name, code, self._pause_s
        )
        self._wait_longer(now)

    def _wait_longer(self, now: float) -> None:
        self._start_after = now + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)

    def _clean_up(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None


def give_way(pid: int) -> bool:
    """Let others go first: nicer, in its session's group too, and never waking in the midst of their turn.

    Linux weighs sessions before it weighs processes (autogroups), and each worker has a session of its own:
    without the last step four workers would count as much as four trainers.

    Returns:
        False: the kernel changes no more groups in this tenth of a second; try again. What a system refuses
        for good, or does not know, stays as it is.
    """
    with contextlib.suppress(OSError):
        nice = max(GIVES_WAY_NICE, os.getpriority(os.PRIO_PROCESS, pid))
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError, AttributeError):  # Linux only, from here on
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(GIVES_WAY_NICE))
    except OSError as error:
        return error.errno != errno.EAGAIN
    return True
