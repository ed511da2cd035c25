"""What ties a worker process to its supervisor: it reports through stdout, and stops when stdin ends.

Each report is one JSON line, and counts as a heartbeat. Pipes end with the process that holds them, so a
worker stops by itself however its supervisor went, and no worker is ever orphaned.

The pipe is kept to this module: from then on `print` goes to the log, so that a talkative library neither
garbles a report nor passes for one, and helper processes do not inherit the pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

import psutil

from exptrack_daemon.clock import Clock

BEAT_EVERY_S = 0.5


class Lifeline:
    """A worker's side."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beaten_at = float("-inf")
        self._stop = False
        self._pipe = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.set_blocking(self._pipe, False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches the group; the supervisor decides

    def beat(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Report, at most twice a second; a supervisor that does not read costs nothing."""
        if self._clock.monotonic_s() - self._beaten_at >= BEAT_EVERY_S:
            self.report(**facts())

    def report(self, **facts: Any) -> None:
        """Report now."""
        self._beaten_at = self._clock.monotonic_s()
        line = json.dumps(facts).encode() + b"\n"
        with contextlib.suppress(
            OSError
        ):  # full (the supervisor is stopped) or closed (it is gone)
            os.write(self._pipe, line)

    def should_stop(self) -> bool:
        """Whether the supervisor ended, or asked for it."""
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        if ready and os.read(sys.stdin.fileno(), 64) == b"":
            self._stop = True  # never set to False: a signal may have come since
        return self._stop

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = True


def is_same_process(pid: int, born_s: float) -> bool:
    """Whether the process that was born then still has this pid (a clock that was set moves births)."""
    try:
        return bool(abs(psutil.Process(pid).create_time() - born_s) < 2)
    except psutil.Error:
        return False
