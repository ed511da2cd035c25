"""Locks between processes: held for a process's life, and let go by the kernel however it ends."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from exptrack_daemon.errors import AlreadyRunning, HomeUnusable

_TRY_EVERY_S = 0.1


def hold_lock(path: Path, give_up: Callable[[], bool] = lambda: False, wait_s: float = 15.0) -> int:
    """Hold an exclusive lock from now on, waiting a little for a predecessor to end.

    Returns:
        The descriptor that holds it: closing it lets go.

    Raises:
        AlreadyRunning: another process keeps it.
        HomeUnusable: the file cannot be opened, or its file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HomeUnusable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        is_held = _try_until(descriptor, give_up, wait_s)
    except OSError as error:
        os.close(descriptor)
        raise HomeUnusable(f"{path} cannot be locked: {error.strerror}") from error
    if is_held:
        return descriptor
    os.close(descriptor)
    raise AlreadyRunning(f"another process holds {path}")


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock. Makes nothing; askers do not disturb each other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _try_until(descriptor: int, give_up: Callable[[], bool], wait_s: float) -> bool:
    pause = threading.Event()
    for left in reversed(range(max(1, round(wait_s / _TRY_EVERY_S)))):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if give_up():
                return False
            if left:
                pause.wait(_TRY_EVERY_S)
        else:
            return True
    return False
