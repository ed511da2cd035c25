"""The one table of what the studio started: child processes, the end of what each said, and how each ended.

Each runs under a keeper (see there), so none outlives the server, however that ends. Of a job's output the
last 64 KiB are kept in memory; the rest is read and dropped, so that a talkative program never waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from exptrack_daemon.clock import Clock, SystemClock
from exptrack_daemon.errors import ExptrackError

State: TypeAlias = Literal["running", "stopping", "finished", "stopped", "failed"]

MOST_RUNNING = 4
MOST_KEPT = 50
GRACE_S = 15.0
"""From SIGTERM to SIGKILL: a training may flush, close its run and write a checkpoint."""
_KEEPER = "exptrack_daemon.web.studio.keeper"
_TAIL_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024


class TooManyJobs(ExptrackError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What to start."""

    title: str
    command: Sequence[str]
    run_id: str
    cwd: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    """Beside the server's own."""
    steps: int | None = None
    """How many it will take, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as it stands now."""

    number: int
    spec: JobSpec
    state: State
    exit_code: int | None
    """None while it runs; below zero: the signal that ended it."""
    started_ns: int
    elapsed_s: float
    ended_s_ago: float
    """0 while it runs."""
    output: str

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "stopping")


class _Job:
    def __init__(self, number: int, spec: JobSpec, grace_s: float, clock: Clock) -> None:
        self.number = number
        self.spec = spec
        self.is_asked_to_stop = False
        self._clock = clock
        self.started_ns = clock.now_ns()
        self._began_s = clock.monotonic_s()
        self._ended_s: float | None = None
        self._tail = b""
        keeper = [sys.executable, "-P", "-m", _KEEPER, str(grace_s)]
        self._process = subprocess.Popen(
            [*keeper, *spec.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C at the server's terminal: the server stops it, in order
            cwd=spec.cwd,
            env={**_environ(), "PYTHONUNBUFFERED": "1", **spec.environ},
        )
        threading.Thread(target=self._read, name=f"studio-job-{number}", daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while data := os.read(pipe.fileno(), _READ_BYTES):
                self._tail = (self._tail + data)[-_TAIL_BYTES:]
        self._process.wait()
        self._ended_s = self._clock.monotonic_s()
        self._close_input()

    def ask_to_stop(self) -> None:
        if self._process.poll() is None:
            self.is_asked_to_stop = True
        self._close_input()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.poll() is not None

    def kill(self) -> None:
        """The keeper has had its time; without it the program's group is still there."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def view(self) -> JobView:
        code = self._process.poll()
        end_s = self._ended_s if code is not None and self._ended_s else self._clock.monotonic_s()
        return JobView(
            number=self.number,
            spec=self.spec,
            state=state_of(code, is_asked_to_stop=self.is_asked_to_stop),
            exit_code=code,
            started_ns=self.started_ns,
            elapsed_s=end_s - self._began_s,
            ended_s_ago=self._clock.monotonic_s() - end_s if code is not None else 0.0,
            output=self._tail.decode("utf-8", "replace"),
        )


def _environ() -> dict[str, str]:
    """The server's environment without what it set for its own Gradio."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}


def state_of(code: int | None, *, is_asked_to_stop: bool) -> State:
    """What a job's state is called. One that was asked to stop did not fail, whatever it ended with."""
    if code is None:
        return "stopping" if is_asked_to_stop else "running"
    if is_asked_to_stop:
        return "stopped"
    return "finished" if code == 0 else "failed"


class Jobs:
    """Starts, watches and ends child processes; safe to call from any thread."""

    def __init__(self, clock: Clock | None = None, *, grace_s: float = GRACE_S) -> None:
        self._clock = clock or SystemClock()
        self._grace_s = grace_s
        self._jobs: dict[int, _Job] = {}
        self._lock = threading.Lock()
        self._next = 1
        self._is_closed = False

    def start(self, spec: JobSpec) -> JobView:
        """Start a program.

        Raises:
            TooManyJobs: as many run as may.
            ExptrackError: its folder does not exist, or the server is being stopped.
        """
        with self._lock:
            if self._is_closed:
                raise ExptrackError("the server is being stopped; nothing is started any more")
            if sum(job.is_running for job in self._jobs.values()) >= MOST_RUNNING:
                raise TooManyJobs(f"{MOST_RUNNING} jobs are running; stop one first")
            if not spec.cwd.is_dir():
                raise ExptrackError(f"{spec.cwd}, where {spec.title} is to run, is no folder")
            try:
                job = _Job(self._next, spec, self._grace_s, self._clock)
            except OSError as error:
                raise ExptrackError(f"{spec.title} cannot be started: {error.strerror}") from error
            self._jobs[job.number] = job
            self._next += 1
            self._forget_oldest()
        return job.view()

    def stop(self, number: int) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL once the grace is over. Returns at once."""
        job = self._jobs.get(number)
        if job is not None:
            job.ask_to_stop()

    def all(self) -> list[JobView]:
        """The newest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job.view() for job in reversed(jobs)]

    def get(self, number: int) -> JobView | None:
        job = self._jobs.get(number)
        return job.view() if job is not None else None

    def close(self) -> None:
        """End all, and wait for it; nothing can be started afterwards."""
        with self._lock:
            self._is_closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.ask_to_stop()
        for job in jobs:
            if not job.wait(self._grace_s + 5):
                job.kill()

    def _forget_oldest(self) -> None:
        ended = [number for number, job in self._jobs.items() if not job.is_running]
        for number in ended[: max(0, len(self._jobs) - MOST_KEPT)]:
            del self._jobs[number]
