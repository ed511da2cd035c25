"""When to ask an unavailable sink again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class Retry:
    """Pauses that double, for ever; a success begins anew."""

    failures: int = 0
    not_before: float = float("-inf")

    def failed(self, now: float) -> float:
        """Note a failure; returns how long to wait."""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self.not_before = now + pause
        return pause

    def succeeded(self) -> None:
        """The sink took something."""
        self.failures = 0
        self.not_before = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether the sink may be asked again."""
        return now >= self.not_before
