"""Real processes for tests: a daemon, trainers, and looking at what they left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from exptrack_daemon import supervisor
from exptrack_daemon.home import Home


def wait_until(condition: Callable[[], Any], timeout_s: float = 20, what: str = "") -> Any:
    """Poll until the condition holds; returns its value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


class Daemon:
    """The real daemon, as `exptrack daemon run` runs it."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self.environ = environ
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        log = (self.home / "daemon.log").open("ab")
        command = [sys.executable, "-m", "exptrack_daemon.supervisor", "--home", str(self.home)]
        with log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environ},
            )
        wait_until(self.is_up, 30, "the daemon is up")
        return self

    def is_up(self) -> bool:
        """Whether the intake of this very process takes frames."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended:\n{self.log()}")
        try:
            beacon = json.loads(Home(self.home).beacon.read_bytes())
        except (OSError, ValueError):
            return False
        return beacon["pid"] == self.process.pid

    def status(self) -> dict[str, Any]:
        return supervisor.status(self.home)

    def pids(self) -> dict[str, int]:
        """Workers by name."""
        return {
            worker["name"]: worker["pid"] for worker in self.status()["processes"] if worker["pid"]
        }

    def kill(self) -> None:
        """SIGKILL the supervisor; its workers end by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def kill_all(self) -> None:
        """SIGKILL the supervisor and every worker at the same moment."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM, as a service manager does; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def end(self) -> None:
        """For the fixture: gone, however."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill_all()

    def log(self) -> str:
        return (self.home / "daemon.log").read_text()


def trainer(script: str, home: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """A training process: Python code with `xt` imported and `sys.argv[1:]` as given."""
    code = "import os, sys, time, signal\nimport exptrack_agent as xt\n" + script
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "EXPTRACK_HOME": str(home), **environ},
    )


def finished(process: subprocess.Popen[str], timeout_s: float = 60) -> str:
    """Wait for a trainer to end well; returns what it printed."""
    out, errors = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, f"{process.returncode}\n{out}\n{errors}"
    return out
