"""A clock whose hands a test turns."""

from __future__ import annotations

START_NS = 1_700_000_000_000_000_000


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self, now_ns: int = START_NS, seconds: float = 1_000.0) -> None:
        self.time_ns = now_ns
        self.seconds = seconds

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> float:
        """Both hands; returns what `monotonic_s` shows now."""
        self.seconds += seconds
        self.time_ns += round(seconds * 1e9)
        return self.seconds
