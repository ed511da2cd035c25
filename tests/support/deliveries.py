"""A destination that cuts back to the state it is given, as a local sink does, and a lane to it."""

from __future__ import annotations

from pathlib import Path

from exptrack_daemon.delivery.lane import Lane, LaneParts
from exptrack_daemon.files import Files, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.base import Batch, Rows, RunInfo, SavedState, Settled, SinkContext
from tests.support.clocks import FakeClock

Key = tuple[str, int]
"""Stream and sequence."""


def keys_of(batch: Batch) -> list[Key]:
    keys: list[Key] = []
    for entry in batch.entries:
        if isinstance(entry, Rows):
            keys += [(entry.stream.stream_id, entry.first + n) for n in range(len(entry.rows))]
        else:
            keys.append((entry.stream.stream_id, entry.sequence))
    return keys


class Destination:
    """What survives a kill of the worker: entries in order. `open` is the sink's opener."""

    def __init__(self) -> None:
        self.kept: list[Key] = []
        self.items: list[object] = []
        self.opened = 0
        self.closed = 0
        self.settled_ever: set[Key] = set()
        self.given_again: list[Key] = []
        """Entries that came although the state given back says that they are safe."""
        self.failures: list[Exception] = []
        """Raised by the next writes, one after another."""
        self.open_failures: list[Exception] = []
        self.settle_failures: list[Exception] = []
        self.close_failures: list[Exception] = []
        self.poison: set[int] = set()
        """Sequences that make a batch unacceptable."""
        self.settles = True
        """Whether what is written counts as safe at once."""
        self.reject: type[Exception] | None = None
        self.sinks: list[_Sink] = []

    def open(self, run: RunInfo, context: SinkContext, saved: SavedState | None) -> _Sink:
        if self.open_failures:
            raise self.open_failures.pop(0)
        self.opened += 1
        kept = saved["kept"] if saved else 0
        del self.kept[kept:]
        self.sinks.append(_Sink(self, run))
        return self.sinks[-1]


class _Sink:
    def __init__(self, destination: Destination, run: RunInfo) -> None:
        self.run = run
        self._to = destination
        self._unsettled: Batch | None = None
        self._is_closed = False

    def write(self, batch: Batch) -> None:
        assert not self._is_closed
        to = self._to
        if to.failures:
            raise to.failures.pop(0)
        keys = keys_of(batch)
        if to.poison & {sequence for _, sequence in keys}:
            assert to.reject is not None
            raise to.reject("poison")
        to.given_again += [key for key in keys if key in set(to.kept)]
        to.kept += keys
        to.items += [entry for entry in batch.entries if not isinstance(entry, Rows)]
        self._unsettled = batch

    def settled(self) -> Settled | None:
        if self._to.settle_failures:
            raise self._to.settle_failures.pop(0)
        if self._unsettled is None or not self._to.settles:
            return None
        end, self._unsettled = self._unsettled.end, None
        self._to.settled_ever.update(self._to.kept)
        return Settled(end, {"kept": len(self._to.kept)})

    def close(self) -> None:
        if self._to.close_failures:
            raise self._to.close_failures.pop(0)
        self._is_closed = True
        self._to.closed += 1


def make_lane(
    home: Path,
    destination: Destination,
    clock: FakeClock,
    *,
    run: str = "run1",
    files: Files | None = None,
    batch_bytes: int = 4096,
) -> Lane:
    files = files or OsFiles()
    where = Home(home)
    parts = LaneParts(
        name="there",
        home=where,
        files=files,
        clock=clock,
        open_sink=destination.open,
        batch_bytes=batch_bytes,
        batch_age_s=0.5,
    )
    context = SinkContext(where, where.run(run), {}, clock, lambda _pid: None)
    return Lane(run, parts, context)


def drive(lane: Lane, clock: FakeClock, seconds: float = 200.0) -> None:
    """Step as a worker does, until nothing moves for that long."""
    until = clock.seconds + seconds
    while clock.seconds < until:
        while lane.step(clock.monotonic_s()):
            pass
        clock.advance(0.6)
