"""All runs of a home as last seen, each with a version, and the order in which they changed.

A version is made of what says that something of the run may be new: where its journal ends, when its folder
last changed, and its status, which may change without a byte (a killed trainer). Looking at an unchanged run
costs a few system calls, so that a page may ask each second; only changed runs are read again.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exptrack_daemon.clock import Clock
from exptrack_daemon.home import Home
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_proto.frame import RUN_ID

_LOOK_EVERY_S = 0.25
"""Pages that ask in the same moment share one look."""
_MANY = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A run at one version."""

    view: RunView
    version: str
    """Differs whenever anything of the run may differ."""
    order: int
    """Grows with every change of any run: what is above a page's cursor is news to it."""


@dataclass(frozen=True, slots=True)
class News:
    """What changed since a cursor."""

    cursor: str
    runs: list[Seen]
    gone: list[str]


class RunIndex:
    """Kept for a server's life; asked from any thread."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._boot = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._order = 0
        self._seen: dict[str, Seen] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._gone: dict[str, int] = {}

    def all(self, reader: HomeReader, *, now: bool = False) -> list[Seen]:
        """All runs, newest first; `now`: without leaning on a look of a moment ago."""
        with self._lock:
            self._look(reader, now=now)
            seen = list(self._seen.values())
        return sorted(seen, key=lambda run: (-run.view.facts.run.created_ns, run.view.id))

    def get(self, reader: HomeReader, run_ids: Iterable[str], *, now: bool = False) -> list[Seen]:
        """These runs, in this order; those that there are not are left out."""
        with self._lock:
            self._look(reader, now=now)
            return [self._seen[run_id] for run_id in run_ids if run_id in self._seen]

    def news(self, reader: HomeReader, cursor: str | None) -> News:
        """What changed since the cursor; everything for none, or one that another server gave."""
        with self._lock:
            self._look(reader, now=False)
            since = self._since(cursor)
            runs = [run for run in self._seen.values() if run.order > since]
            gone = [run_id for run_id, order in self._gone.items() if order > since >= 0]
            return News(f"{self._boot}-{self._order}", runs, gone)

    def cursor(self) -> str:
        """Where the newest change stands."""
        return f"{self._boot}-{self._order}"

    def _since(self, cursor: str | None) -> int:
        boot, _, order = (cursor or "").partition("-")
        return int(order) if boot == self._boot and order.isdecimal() else -1

    def _look(self, reader: HomeReader, *, now: bool) -> None:
        at = self._clock.monotonic_s()
        if not now and at - self._looked_at < _LOOK_EVERY_S:
            return
        stamps = _stamps(self._home, self._stamps)
        news = [run_id for run_id in stamps if self._is_news(reader, run_id, stamps[run_id])]
        self._take(_views(reader, news), stamps)
        self._drop(self._seen.keys() - stamps.keys())
        self._stamps = stamps
        self._looked_at = at

    def _is_news(self, reader: HomeReader, run_id: str, stamp: _Stamp) -> bool:
        known = self._seen.get(run_id)
        if known is None or self._stamps.get(run_id) != stamp:
            return True
        return (
            known.view.status.name == "running"
            and reader.status(known.view.facts).name != "running"
        )

    def _take(self, views: list[RunView], stamps: dict[str, _Stamp]) -> None:
        for view in views:
            self._order += 1
            version = f"{stamps[view.id].text()}-{view.status.name}"
            self._gone.pop(view.id, None)
            self._seen[view.id] = Seen(view, version, self._order)

    def _drop(self, run_ids: Iterable[str]) -> None:
        for run_id in list(run_ids):
            self._order += 1
            del self._seen[run_id]
            self._gone[run_id] = self._order


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes when a run does."""

    folder_ns: int
    journal_ns: int
    newest: str
    size: int

    def text(self) -> str:
        return f"{self.newest}-{self.size:x}-{self.folder_ns:x}"


def _stamps(home: Home, known: dict[str, _Stamp]) -> dict[str, _Stamp]:
    found = {}
    try:
        names = os.listdir(home.runs)  # noqa: PTH208 - names only, thousands of them
    except FileNotFoundError:
        return {}
    for name in names:
        if RUN_ID.fullmatch(name):
            stamp = _stamp(home.run(name), known.get(name))
            if stamp is not None:
                found[name] = stamp
    return found


def _stamp(folder: Path, known: _Stamp | None) -> _Stamp | None:
    """The run's stamp; None where there is no journal, or it went while we looked."""
    journal = folder / "journal"
    try:
        folder_ns, journal_ns = folder.stat().st_mtime_ns, journal.stat().st_mtime_ns
        newest = known.newest if known and known.journal_ns == journal_ns else _newest(journal)
        size = (journal / newest).stat().st_size if newest else 0
    except OSError:
        return None
    return _Stamp(folder_ns, journal_ns, newest, size)


def _newest(journal: Path) -> str:
    return max((path.name for path in journal.iterdir() if path.suffix == ".seg"), default="")


def _views(reader: HomeReader, run_ids: list[str]) -> list[RunView]:
    if len(run_ids) < _MANY:
        return [reader.view(run_id) for run_id in run_ids]
    wanted = set(run_ids)
    return [view for view in reader.runs(values=True) if view.id in wanted]
