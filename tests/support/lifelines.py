"""A lifeline without pipes: ends after so many questions, or when a condition holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class FakeLifeline:
    """Stops when `is_over` says so; fails the test by stopping at the deadline."""

    def __init__(self, is_over: Callable[[], object], timeout_s: float = 15) -> None:
        self._is_over = is_over
        self._deadline = time.monotonic() + timeout_s
        self.reports: list[dict[str, Any]] = []
        self.timed_out = False

    def should_stop(self) -> bool:
        self.timed_out = time.monotonic() > self._deadline
        return self.timed_out or bool(self._is_over())

    def beat(self, facts: Callable[[], dict[str, Any]]) -> None:
        self.reports = [*self.reports[-50:], facts()]

    def report(self, **facts: Any) -> None:
        self.reports.append(facts)
