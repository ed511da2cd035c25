"""How many lines a second may go into a run. Pure: the clock is handed in."""

from __future__ import annotations


class Pace:
    """A bucket of lines that fills at a rate: bursts pass, floods do not.

    Attributes:
        left_out: lines that were refused since `take_left_out` was last asked.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        if per_s <= 0 or burst < 1:
            raise ValueError(f"a pace is more than 0 lines a second, not {per_s} with {burst}")
        self.left_out = 0
        self._per_s = per_s
        self._burst = burst
        self._room = float(burst)
        self._seen_s: float | None = None

    def lets_pass(self, now_s: float) -> bool:
        """Whether a line at this time may go in; else it is counted."""
        if self._seen_s is not None:
            gained = max(0.0, now_s - self._seen_s) * self._per_s
            self._room = min(float(self._burst), self._room + gained)
        self._seen_s = now_s
        if self._room < 1:
            self.left_out += 1
            return False
        self._room -= 1
        return True

    def take_left_out(self) -> int:
        """How many lines were refused since this was last asked."""
        left_out, self.left_out = self.left_out, 0
        return left_out
