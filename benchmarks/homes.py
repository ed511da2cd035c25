"""Homes, daemons and training processes for benchmarks; whatever happens, nothing of them is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import ROOT
from exptrack_daemon.home import Home

_UP_S = 30.0
_POLL_S = 0.02


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Poll until the condition holds.

    Raises:
        TimeoutError: it does not, in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(_POLL_S)


@contextlib.contextmanager
def temporary_home(settings: str = "", parent: Path | None = None) -> Iterator[Home]:
    """A home of its own, with this daemon.toml; at the end its daemon, rings and sockets go with it."""
    folder = Path(tempfile.mkdtemp(prefix="exptrack-bench-", dir=parent)).resolve()
    home = Home(folder)
    home.settings.write_text(settings)
    try:
        yield home
    finally:
        end_daemon(home)
        for path in (*home.ring_roots, home.runtime, folder):
            shutil.rmtree(path, ignore_errors=True)


def beacon(home: Home) -> dict[str, Any]:
    """What the home's daemon wrote about itself; empty when there is none."""
    try:
        found: dict[str, Any] = json.loads(home.beacon.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def end_daemon(home: Home) -> None:
    """Also a daemon that `init` started, of which only the home knows."""
    pid = beacon(home).get("pid")
    with contextlib.suppress(psutil.Error):
        if pid is not None and str(home.path) in psutil.Process(pid).cmdline():
            end_family(pid)


def end_family(pid: int) -> None:
    """Kill a process and its children."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(family, timeout=10)


class Daemon:
    """The real daemon of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        command = [sys.executable, "-m", "exptrack_daemon.supervisor", "--home", str(home.path)]
        with home.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_up(self) -> None:
        """All workers run, and the intake takes frames."""
        wait_until(self._is_up, _UP_S, "the daemon is up")

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended:\n{self.home.log.read_text()}")
        is_ours = beacon(self.home).get("pid") == self.process.pid
        return is_ours and len(self.family()) > 2

    def family(self) -> list[psutil.Process]:
        """The supervisor and its workers; empty when it is gone."""
        if self.process.poll() is not None:
            return []
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def worker(self, module: str) -> psutil.Process:
        """The worker that runs this module."""
        return next(
            found for found in self.family() if f"exptrack_daemon.{module}" in found.cmdline()
        )

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""
        return sum(cpu_s(member) for member in self.family())

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        for member in self.family():
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)

    def end(self) -> None:
        """Stop it: in order if it can, by force if not."""
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            end_family(self.process.pid)
            self.process.wait(10)


@contextlib.contextmanager
def small_disk(size_mib: int) -> Iterator[Path]:
    """A file system of this size in memory, which can be filled without harm to anybody.

    Raises:
        PermissionError: it cannot be mounted; only root may.
    """
    folder = Path(tempfile.mkdtemp(prefix="exptrack-disk-")).resolve()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(done.stderr.strip())
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
    finally:
        folder.rmdir()


@contextlib.contextmanager
def running_daemon(settings: str = "", parent: Path | None = None) -> Iterator[Daemon]:
    """A home with a daemon that is up."""
    with temporary_home(settings, parent) as home:
        daemon = Daemon(home)
        try:
            daemon.wait_until_up()
            yield daemon
        finally:
            daemon.end()


def cpu_s(process: psutil.Process) -> float:
    """CPU time of all threads of a process, to the nanosecond (its usual count has steps of 10 ms)."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def environment(home: Home | None) -> dict[str, str]:
    """What a child sees: our home (or none), and nothing of the caller's own exptrack settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXPTRACK_")}
    return kept if home is None else {**kept, "EXPTRACK_HOME": str(home.path)}


def start_workload(name: str, home: Home | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start `benchmarks.workloads.NAME` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.workloads.{name}", json.dumps(options)],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_workload(name: str, home: Home | None = None, **options: Any) -> dict[str, Any]:
    """Run a workload to its end; returns what it measured."""
    process = start_workload(name, home, **options)
    try:
        out, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(f"workload {name} ended with {process.returncode}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer
