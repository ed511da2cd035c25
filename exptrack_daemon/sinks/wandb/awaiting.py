"""Batches that were handed to W&B and are not known to have arrived. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import SavedState, Settled


class _Batch(NamedTuple):
    end: Position
    lines: int
    state: SavedState


class Awaiting:
    """In journal order; a batch is settled when W&B holds every line up to its end."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, end: Position, lines: int, state: SavedState) -> None:
        """`lines` is how many history lines stand before `end` in the journal."""
        if self._batches and self._batches[-1].end == end:
            # A piece of the batch before: only the last one reaches to its end.
            self._batches.pop()
        self._batches.append(_Batch(end, lines, state))

    def settle(self, lines_held: int) -> Settled | None:
        """What is safe when W&B holds the lines below `lines_held`."""
        last: _Batch | None = None
        while self._batches and self._batches[0].lines <= lines_held:
            last = self._batches.popleft()
        return Settled(last.end, last.state) if last else None
