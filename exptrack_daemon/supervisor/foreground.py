"""Running the daemon in this process, until it is stopped."""

from __future__ import annotations

import os
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.errors import AlreadyRunning
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home, make_private
from exptrack_daemon.locks import hold_lock
from exptrack_daemon.supervisor.supervisor import Supervisor, SupervisorOptions
from exptrack_daemon.telemetry import log_to_stderr

IDLE_EXIT_S = 1800.0
"""A daemon that training started by itself ends after so long with nothing to do."""
_LOCK_WAIT_S = 1.0
EXIT_ALREADY_RUNNING = 3
"""What a process ends with that wanted to be the daemon of a home that has one."""


def run_daemon(home: Path, *, autostarted: bool = False, idle_exit_s: float | None = None) -> int:
    """Serve a home until stopped; returns the exit code.

    Raises:
        AlreadyRunning: the home has a daemon.
        HomeUnusable: the home cannot be written or is not private.
        ConfigInvalid: daemon.toml is wrong.
    """
    os.umask(0o077)
    make_private(home)
    config = load_config(home)
    try:
        lock = hold_lock(Home(home).lock, wait_s=_LOCK_WAIT_S)
    except AlreadyRunning:
        raise AlreadyRunning(
            f"a daemon of {home} is running; `exptrack daemon status` shows it"
        ) from None
    log_to_stderr("daemon")
    options = SupervisorOptions(idle_exit_s=idle_exit_s or (IDLE_EXIT_S if autostarted else None))
    try:
        return Supervisor(config, OsFiles(), SystemClock(), options).run()
    finally:
        os.close(lock)
