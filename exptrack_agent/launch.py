"""Starting a daemon beside training when the home has none: one winner among many processes.

Nothing here waits: rows are safe in the black box meanwhile, and the courier finds the daemon when it is up.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exptrack_agent.notices import say_once

if TYPE_CHECKING:
    import subprocess

DAEMON_LOCK = "daemon.lock"
_LAUNCH_LOCK = "launch.lock"
_PARTS = ("exptrack_daemon", "msgspec", "psutil")


def daemon_is_running(home: Path) -> bool:
    """Whether some process holds the home's daemon lock. Touches nothing."""
    try:
        descriptor = os.open(home / DAEMON_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def ensure_daemon(home: Path) -> None:
    """Start a daemon if none runs; says once why, when it cannot."""
    if daemon_is_running(home):
        return
    import importlib.util  # here and below: only a start needs them

    if any(importlib.util.find_spec(part) is None for part in _PARTS):
        say_once(
            "no daemon",
            f"the daemon is not installed here, so rows are kept in {home}/spool;"
            " `pip install 'exptrack[daemon]'` and then `exptrack recover` brings them in",
        )
        return
    try:
        _start_as_winner(home)
    except OSError as error:
        say_once("launch", f"the daemon was not started ({error}); rows are kept in {home}/spool")


def _start_as_winner(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / _LAUNCH_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return  # somebody else is starting it
    try:
        log = os.open(
            home / "daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            _spawn(home, lock, log)
        finally:
            os.close(log)
    finally:
        os.close(lock)  # the daemon inherited it, and lets go of it when it is up


def _spawn(home: Path, lock: int, log: int) -> None:
    import subprocess

    environ = {name: value for name, value in os.environ.items() if name not in _OURS}
    environ |= {
        "PYTHONSAFEPATH": "1"
    }  # nothing in the user's folder may shadow a module of the daemon
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
    _started.append(process)  # not waited for: it outlives this process


_started: list[subprocess.Popen[bytes]] = []

_OURS = frozenset(["WANDB_SERVICE", "RANK", "LOCAL_RANK", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"])
"""What belongs to this training process and would mislead the daemon or its sinks."""
