"""How home, daemon and machine are: gathered once for the page and for Prometheus.

A sink's cursor that says `done` of a run that has not changed since is not read again.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from exptrack_daemon.clock import Clock
from exptrack_daemon.sampler.host import HostSampler, Values
from exptrack_daemon.sampler.nvidia import NvidiaSampler
from exptrack_daemon.store.reader import HomeReader, SinkState
from exptrack_daemon.supervisor.client import status
from exptrack_daemon.web.index import RunIndex

_STALE_AFTER_S = 2.0
"""Whoever asks again sooner gets the same answer."""
_WORST_FIRST = ("broken", "unreadable", "unavailable", "lagging", "live", "done")
_SETTLED = "done"


@dataclass(slots=True)
class SinkSum:
    """One sink over all runs."""

    name: str
    status: str = _SETTLED
    """The worst of any run."""
    reason: str = ""
    runs: Counter[str] = field(default_factory=Counter)
    """By status."""
    lag_rows: int = 0
    dead_letters: int = 0

    def add(self, state: SinkState) -> None:
        self.runs[state.status] += 1
        self.lag_rows += state.lag_rows
        self.dead_letters += state.dead_letters
        if _badness(state.status) < _badness(self.status):
            self.status, self.reason = state.status, state.reason


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was found."""

    daemon: Mapping[str, Any]
    """As the daemon itself says."""
    now_ns: int
    runs: Mapping[str, int]
    """By status."""
    sinks: list[SinkSum]
    lost: Mapping[str, int]
    """Items in loss ledgers, by reason."""
    disk_free_bytes: int
    disk_total_bytes: int
    memory_total_bytes: int
    node: Values
    notices: list[str]


class Watch:
    """Looks at all of it; remembers what can't change."""

    def __init__(self, index: RunIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._host: HostSampler | None = None
        self._gpus: NvidiaSampler | None = None
        self._runs: dict[str, tuple[str, list[SinkState]]] = {}
        self._found: tuple[float, Vitals] | None = None

    def look(self, reader: HomeReader) -> Vitals:
        """What there is to know now, at most two seconds old."""
        with self._lock:
            at = self._clock.monotonic_s()
            if self._found is None or at - self._found[0] > _STALE_AFTER_S:
                self._found = (at, self._gather(reader))
            return self._found[1]

    def _gather(self, reader: HomeReader) -> Vitals:
        _, versions = self._index.versions(reader)
        page = reader.query("", "-created")
        free, total = _disk(reader)
        self._runs = {run: held for run, held in self._runs.items() if run in versions}
        states = [
            state
            for run, version in versions.items()
            for state in self._states(reader, run, version)
        ]
        lossy = [row.id for row in page.rows if row.lost_items]
        return Vitals(
            daemon=status(reader.home.path),
            now_ns=self._clock.now_ns(),
            runs=Counter(row.status for row in page.rows),
            sinks=summed(states),
            lost=_lost(reader, self._index, lossy),
            disk_free_bytes=free,
            disk_total_bytes=total,
            memory_total_bytes=psutil.virtual_memory().total,
            node=self._node(),
            notices=list(reader.notices),
        )

    def _states(self, reader: HomeReader, run_id: str, version: str) -> list[SinkState]:
        held_version, held = self._runs.get(run_id, ("", []))
        if held_version == version and all(state.status == _SETTLED for state in held):
            return held
        settled = _settled(reader, run_id) if not held_version else None
        states = self._exact(reader, run_id) if settled is None else settled
        self._runs[run_id] = (version, states)
        return states

    def _exact(self, reader: HomeReader, run_id: str) -> list[SinkState]:
        found = self._index.get(reader, [run_id])
        return reader.sink_states(found[0].view) if found else []

    def _node(self) -> Values:
        if self._host is None or self._gpus is None:
            self._host, self._gpus = HostSampler(), NvidiaSampler()
        return self._host.read(self._clock.monotonic_s()) | self._gpus.read()


def summed(states: Iterable[SinkState]) -> list[SinkSum]:
    """One entry a sink, by name. Pure."""
    found: dict[str, SinkSum] = {}
    for state in states:
        found.setdefault(state.name, SinkSum(state.name)).add(state)
    return [found[name] for name in sorted(found)]


def _settled(reader: HomeReader, run_id: str) -> list[SinkState] | None:
    """The run's sinks when each has seen its end, from their cursors alone: thousands of runs are so."""
    states = []
    for name in reader.sinks_of(run_id):
        cursor = reader.cursor(run_id, name)
        if cursor is None or not cursor.ended or cursor.status != "live":
            return None
        states.append(
            SinkState(name, _SETTLED, "", cursor.rows, 0, cursor.dead_letters, cursor.updated_ns)
        )
    return states


def _badness(status: str) -> int:
    return _WORST_FIRST.index(status) if status in _WORST_FIRST else 0


def _disk(reader: HomeReader) -> tuple[int, int]:
    try:
        usage = shutil.disk_usage(reader.home.path)
    except OSError:
        return 0, 0
    return usage.free, usage.total


def _lost(reader: HomeReader, index: RunIndex, run_ids: list[str]) -> Counter[str]:
    lost: Counter[str] = Counter()
    for seen in index.get(reader, run_ids):
        for entry in seen.view.facts.ledger:
            lost[entry.reason] += entry.items
    return lost
