"""What ties a worker process to its supervisor: it reports through stdout, and stops when stdin ends.

Each report is one JSON line, and counts as a heartbeat. Pipes end with the process that holds them, so a
worker stops by itself however its supervisor went, and no worker is ever orphaned.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from typing import Any

from exptrack_daemon.clock import Clock

BEAT_EVERY_S = 0.5


class Lifeline:
    """A worker's side."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beaten_at = float("-inf")
        self._stop = False
        os.set_blocking(sys.stdout.fileno(), False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches the group; the supervisor decides

    def beat(self, **facts: Any) -> None:
        """Report, at most twice a second; a supervisor that does not read costs nothing."""
        now = self._clock.monotonic_s()
        if now - self._beaten_at < BEAT_EVERY_S:
            return
        self.report(**facts)

    def report(self, **facts: Any) -> None:
        """Report now."""
        self._beaten_at = self._clock.monotonic_s()
        line = json.dumps(facts).encode() + b"\n"
        with contextlib.suppress(
            OSError
        ):  # full (the supervisor is stopped) or closed (it is gone)
            os.write(sys.stdout.fileno(), line)

    def should_stop(self) -> bool:
        """Whether the supervisor ended, or asked for it."""
        if not self._stop:
            ready, _, _ = select.select([sys.stdin], [], [], 0)
            self._stop = bool(ready) and os.read(sys.stdin.fileno(), 64) == b""
        return self._stop

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = True
