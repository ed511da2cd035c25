"""Starting a daemon beside training when the home has none: one winner among many processes.

Nothing here waits: rows are safe in the black box meanwhile, and the courier finds the daemon when it is up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path

from exptrack_agent.blackbox import make_private_folder
from exptrack_agent.locks import is_held
from exptrack_agent.notices import say_once

DAEMON_LOCK = "daemon.lock"
BEACON = "daemon.json"
"""Stands while a daemon runs; one that is stopped takes it away, one that dies cannot."""
_LAUNCH_LOCK = "launch.lock"
_LAUNCH_TRIES = 3
_PARTS = ("exptrack_daemon", "msgspec", "psutil")


def daemon_is_running(home: Path) -> bool:
    """Whether some process holds the home's daemon lock. Touches nothing."""
    return is_held(home / DAEMON_LOCK)


def daemon_is_near(home: Path) -> bool:
    """Whether a daemon is running, or being started by an agent: worth waiting for."""
    return is_held(home / DAEMON_LOCK) or is_held(home / _LAUNCH_LOCK)


def daemon_died(home: Path) -> bool:
    """Whether the home's daemon ended without having been stopped."""
    return (home / BEACON).exists() and not daemon_is_near(home)


def ensure_daemon(home: Path) -> None:
    """Start a daemon if none runs; says once why, when it cannot. Raises nothing."""
    if daemon_is_running(home):
        return
    if not _is_installed():
        say_once(
            "no daemon",
            f"the daemon is not installed here, so rows are kept in {home}/spool;"
            " `pip install 'exptrack[daemon]'` and then `exptrack recover` brings them in",
        )
        return
    try:
        _start_as_winner(home)
    except Exception as error:  # noqa: BLE001  # whatever a strange machine has in store: training goes on
        say_once("launch", f"the daemon was not started ({error}); rows are kept in {home}/spool")


def _is_installed() -> bool:
    import importlib.util  # here, since only a start needs it

    try:
        return all(importlib.util.find_spec(part) is not None for part in _PARTS)
    except (ImportError, ValueError):  # a module put into `sys.modules` by hand
        return False


def reap() -> None:
    """Let go of daemons that this process started and that have ended, so that no zombie stays."""
    for pid in tuple(_started):
        with contextlib.suppress(
            ChildProcessError
        ):  # reaped by the program, or not our child (a fork)
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _started.remove(pid)


def _start_as_winner(home: Path) -> None:
    make_private_folder(home)
    lock = os.open(home / _LAUNCH_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _win(lock):
        os.close(lock)
        return  # somebody else is starting it
    try:
        if daemon_is_running(home):
            return  # it came up since we looked
        log = os.open(
            home / "daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            _spawn(home, lock, log)
        finally:
            os.close(log)
    finally:
        os.close(lock)  # the daemon inherited it, and lets go of it when it is up


def _win(lock: int) -> bool:
    for _ in range(_LAUNCH_TRIES):  # a process that only looks holds it for a moment, too
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        os.sched_yield()
    return False


def _spawn(home: Path, lock: int, log: int) -> None:
    import subprocess

    environ = {name: value for name, value in os.environ.items() if name not in _OURS}
    environ |= {
        "PYTHONSAFEPATH": "1"
    }  # nothing in the user's folder may shadow a module of the daemon
    if not sys.executable:
        raise OSError(0, "this program does not know its Python")
    module = [sys.executable, "-m", "exptrack_daemon.supervisor", "--home", str(home)]
    process = subprocess.Popen(
        [*module, "--autostarted", "--launch-lock", str(lock)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # signals to the trainer's group must not reach the daemon
        pass_fds=(lock,),
        env=environ,
        cwd="/",
    )
    _started.append(process.pid)
    process.returncode = 0  # not waited for, since it outlives this process: no warning at its end


_started: list[int] = []

_OURS = frozenset(["WANDB_SERVICE", "RANK", "LOCAL_RANK", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"])
"""What belongs to this training process and would mislead the daemon or its sinks."""
