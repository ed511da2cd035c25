"""How often the courier takes what was logged: seldom, to cost nothing, and often, to be durable soon. Pure.

A round costs the trainer some tens of microseconds (the courier needs the interpreter's lock), and its frame
costs the daemon a wake-up, a sync and an acknowledgement, however few rows it holds. So a round is due when
about `FILL_BYTES` wait, as far as the last round tells, or when the oldest row has waited `SLOWEST_S`.
"""

from __future__ import annotations

from exptrack_proto.limits import KIB

FILL_BYTES = 24 * KIB
"""About a thousand values: from there on a frame's own cost matters little."""
FASTEST_S = 0.01
"""Much data at once waits no longer: the box has little memory at hand."""
SLOWEST_S = 0.032
"""While rows flow; with the sync of a slow disk they are durable within 50 ms."""
IDLE_S = 0.04
"""After a round that found nothing."""


class Pace:
    """When the next round is due.

    Attributes:
        due_at: monotonic seconds; at the start, at once.
    """

    __slots__ = ("_began_at", "due_at")

    def __init__(self) -> None:
        self.due_at = self._began_at = float("-inf")

    def round_began(self, now: float, size: int) -> None:
        """A round began at `now` (monotonic seconds) and took `size` bytes.

        The pause counts from when it was due: a trainer that holds the interpreter's lock delays each round
        by 5 ms, and these must not add up.
        """
        pause_s = IDLE_S
        if size:
            pause_s = FILL_BYTES * min(now - self._began_at, IDLE_S) / size
            pause_s = min(max(pause_s, FASTEST_S), SLOWEST_S)
        is_on_time = 0 <= now - self.due_at <= FASTEST_S
        self.due_at = (self.due_at if is_on_time else now) + pause_s
        self._began_at = now
