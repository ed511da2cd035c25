"""A sink that keeps what it was handed: for tests, and the smallest example of one."""

from __future__ import annotations

from exptrack_daemon.sinks.base import Batch, RunInfo, SavedState, Settled, SinkContext


class MemorySink:
    """Keeps batches; can be told to fail."""

    def __init__(self, run: RunInfo, saved: SavedState | None) -> None:
        self.run = run
        self.saved = saved
        self.batches: list[Batch] = []
        self.closed = False
        self._failures: list[Exception] = []
        self._unsettled: Batch | None = None

    def fail_next(self, *errors: Exception) -> None:
        """Raise these, one after another, from the next writes."""
        self._failures.extend(errors)

    def write(self, batch: Batch) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.batches.append(batch)
        self._unsettled = batch

    def settled(self) -> Settled | None:
        if self._unsettled is None:
            return None
        end, self._unsettled = self._unsettled.end, None
        return Settled(end, {"batches": len(self.batches)})

    def close(self) -> None:
        self.closed = True


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> MemorySink:
    return MemorySink(run, saved)
