"""How often the courier takes what was logged: seldom, to cost nothing, and often, to be durable soon. Pure.

A round costs the trainer some tens of microseconds (the courier needs the interpreter's lock), and each frame
costs the daemon a wake-up, a sync and an acknowledgement. So rounds are as far apart as "durable within
50 ms" allows; only much data at once makes them more frequent, since the box has little memory at hand.
"""

from __future__ import annotations

from exptrack_proto.limits import KIB

ROUND_S = 0.02
"""Between two rounds while rows flow."""
IDLE_ROUND_S = 0.04
"""After a round that found nothing."""
MUCH_ROUND_S = 0.01
"""After a round that took `MUCH_BYTES` or more."""
MUCH_BYTES = 512 * KIB


class Pace:
    """When the next round is due.

    Attributes:
        due_at: monotonic seconds; at the start, at once.
    """

    __slots__ = ("due_at",)

    def __init__(self) -> None:
        self.due_at = float("-inf")

    def round_began(self, now: float, size: int) -> None:
        """A round began at `now` (monotonic seconds) and took `size` bytes."""
        if size >= MUCH_BYTES:
            self.due_at = now + MUCH_ROUND_S
        else:
            self.due_at = now + (ROUND_S if size else IDLE_ROUND_S)
