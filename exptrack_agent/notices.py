"""Words to the user: each kind once per process and place, never an exception, never in the way."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

importing = threading.RLock()
"""Held while a thread imports something late. A fork waits for it (see `start`), since the child would have
half a module for ever."""
_said: dict[str, object] = {}
_MOST_KINDS: Final = 256


def say_once(kind: str, message: str) -> bool:
    """Log a warning unless this kind was said before; True if it was said now.

    Goes through `logging` (logger "exptrack"), which prints warnings to stderr when the program
    configured nothing. What was said is no lock's business: a signal handler may have something to say.
    """
    mark = object()
    if len(_said) >= _MOST_KINDS or _said.setdefault(kind, mark) is not mark:
        return False
    try:
        with importing:
            import logging  # here, since most runs never have anything to say
    except OSError:  # no descriptor left to read it
        with contextlib.suppress(OSError):
            os.write(2, f"exptrack: {message}\n".encode("utf-8", "replace"))
        return True
    with contextlib.suppress(Exception):  # a user's broken log handler must not reach training
        logging.getLogger("exptrack").warning("exptrack: %s", message)
    return True


def forget() -> None:
    """Let every kind be said again (tests, and a new run in a long notebook)."""
    _said.clear()
