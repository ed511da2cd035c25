"""Locks between processes: held for a process's life, and let go by the kernel however it ends."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from exptrack_daemon.errors import AlreadyRunning

_TRY_EVERY_S = 0.1


def hold_lock(path: Path, give_up: Callable[[], bool] = lambda: False, wait_s: float = 15.0) -> int:
    """Hold an exclusive lock from now on, waiting a little for a predecessor to end.

    Returns:
        The descriptor that holds it: closing it lets go.

    Raises:
        AlreadyRunning: another process keeps it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    pause = threading.Event()
    for _ in range(max(1, round(wait_s / _TRY_EVERY_S))):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if give_up():
                break
            pause.wait(_TRY_EVERY_S)
        else:
            return descriptor
    os.close(descriptor)
    raise AlreadyRunning(f"another process holds {path}")
