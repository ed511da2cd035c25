"""Whose turn it is: frames wait in a line for each stream, and all lines get the same share of the work.

Pure start-time fair queueing. Work is counted in what it cost, told afterwards (`charge`), so a dear frame is
paid for by the stream that sent it. Each line has a start: the point, on the clock of work done, at which its
next frame would begin if all lines moved at the same speed. The line with the earliest start is served; its
next start is later by the cost. A line that was idle begins at the present, so a stream with little to say is
served next, whatever the others sent, and nobody saves up a right to a burst. Of two lines that both wait,
neither gets more than one frame ahead of its share.

A line is bounded; it holds more than an agent ever has under way. What does not fit is left: it was not
acknowledged, so its trainer still has it, and sends it again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from exptrack_proto.limits import KIB, MIB

T = TypeVar("T")
_FRAME_BYTES = KIB
"""Counted for each frame beside its own bytes, so that very many small ones are bounded, too."""
_MOST_DEBTS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much may wait."""

    line_bytes: int = 8 * MIB
    """Of one stream; an agent has at most 5 MiB under way."""
    most_bytes: int = 64 * MIB
    """Of all streams together; beyond it nothing more is to be read."""


@dataclass(slots=True)
class _Line(Generic[T]):
    start: float
    size: int = 0
    """Bytes that wait."""
    last_cost: float = 0.0
    frames: deque[tuple[T, int]] = field(default_factory=deque)


class FairQueue(Generic[T]):
    """Frames that wait for their turn. After each `take` comes its `charge`."""

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self._limits = limits or QueueLimits()
        self._lines: dict[bytes, _Line[T]] = {}
        self._turns: list[tuple[float, int, bytes]] = []
        """A heap with one entry for each line: its start, the order of coming, its stream."""
        self._now = 0.0
        self._came = 0
        self._debts: dict[bytes, float] = {}
        """Starts of idle lines that lie ahead of now."""
        self.size = 0
        """Bytes that wait, in all lines."""

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def has_room(self) -> bool:
        """Whether more may be read."""
        return self.size < self._limits.most_bytes

    @property
    def next_cost(self) -> float:
        """What the next frame may cost: as much as the last one of its stream; 0 when that is unknown."""
        return self._lines[self._turns[0][2]].last_cost if self._turns else 0.0

    def put(self, stream: bytes, frame: T, size: int) -> bool:
        """Add a frame to the end of its stream's line; False when it is left, since the line is full."""
        size += _FRAME_BYTES
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = _Line(max(self._now, self._debts.pop(stream, 0.0)))
            self._queue(stream, line)
        elif line.size + size > self._limits.line_bytes:
            return False
        line.frames.append((frame, size))
        line.size += size
        self.size += size
        return True

    def take(self) -> T:
        """The frame whose turn it is.

        Raises:
            IndexError: none waits.
        """
        line = self._lines[self._turns[0][2]]
        self._now = line.start
        frame, size = line.frames.popleft()
        line.size -= size
        self.size -= size
        return frame

    def give_back(self, frames: Sequence[tuple[T, int]]) -> None:
        """Put the rest of the frame that was taken last, each with its size, where that stood."""
        line = self._lines[self._turns[0][2]]
        for frame, size in reversed(frames):
            line.frames.appendleft((frame, size))
            line.size += size
            self.size += size

    def charge(self, cost: float) -> None:
        """The frame that was taken last cost so much."""
        _, _, stream = heapq.heappop(self._turns)
        line = self._lines[stream]
        line.start += cost
        line.last_cost = cost
        if line.frames:
            self._queue(stream, line)
            return
        del self._lines[stream]
        if self._turns:
            self._owe(stream, line.start)
        else:
            self._debts.clear()  # nobody waited for what this one got

    def _queue(self, stream: bytes, line: _Line[T]) -> None:
        self._came += 1
        heapq.heappush(self._turns, (line.start, self._came, stream))

    def _owe(self, stream: bytes, start: float) -> None:
        self._debts[stream] = start
        if len(self._debts) > _MOST_DEBTS:
            ahead = {name: debt for name, debt in self._debts.items() if debt > self._now}
            self._debts = ahead if len(ahead) < _MOST_DEBTS // 2 else {}
