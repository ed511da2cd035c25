"""Words to the user: each kind once per process and place, never an exception, never in the way."""

from __future__ import annotations

import contextlib
import threading

_said: set[str] = set()
_lock = threading.Lock()
_MOST_KINDS = 256


def say_once(kind: str, message: str) -> bool:
    """Log a warning unless this kind was said before; True if it was said now.

    Goes through `logging` (logger "exptrack"), which prints warnings to stderr when the program
    configured nothing.
    """
    with _lock:
        if kind in _said or len(_said) >= _MOST_KINDS:
            return False
        _said.add(kind)
    import logging  # here, since most runs never have anything to say

    with contextlib.suppress(Exception):  # a user's broken log handler must not reach training
        logging.getLogger("exptrack").warning("exptrack: %s", message)
    return True


def forget() -> None:
    """Let every kind be said again (tests, and a new run in a long notebook)."""
    with _lock:
        _said.clear()


def after_fork_in_child() -> None:
    """A lock that another thread held at the fork would stay held for ever."""
    global _lock  # noqa: PLW0603  # one module, one lock
    _lock = threading.Lock()
