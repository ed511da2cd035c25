"""The one place that reads the time; parts take a `Clock`, so that tests can turn its hands."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Unix time in nanoseconds, for records."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, for intervals."""


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()
