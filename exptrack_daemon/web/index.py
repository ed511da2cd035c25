"""What changed in a home: each run's version, and the order in which runs changed.

A run is news when its journal's end says so, when somebody changed its name, tags or notes, or when its
trainer died without a word. Looking at an unchanged run costs two system calls, so that a page may ask each
second. Views are read when they are asked for, and kept until the run changes.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from exptrack_daemon.clock import Clock
from exptrack_daemon.home import Home
from exptrack_daemon.store.annotations import Annotation
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_proto.frame import RUN_ID

_LOOK_EVERY_S = 0.25
"""Pages that ask in the same moment share one look."""
_MOST_VIEWS = 500
_JOURNAL = Home(Path()).journal("x").name


@dataclass(frozen=True, slots=True)
class Seen:
    """A run at one version."""

    view: RunView
    version: str
    """Another one whenever anything of the run may be another."""


@dataclass(frozen=True, slots=True)
class News:
    """What changed since a cursor."""

    cursor: str
    runs: list[Seen]
    gone: list[str]
    is_all: bool
    """The cursor was none of ours: everything may have changed, and `runs` are those that run."""


class RunIndex:
    """Kept for a server's life; asked from any thread."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._boot = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._order = 0
        self._orders: dict[str, int] = {}
        """When each run changed last, counted in changes of any run."""
        self._gone: dict[str, int] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._notes_stamp: tuple[int, ...] = ()
        self._notes: Mapping[str, Annotation] = {}
        self._views: OrderedDict[str, Seen] = OrderedDict()

    def versions(self, reader: HomeReader) -> tuple[str, dict[str, str]]:
        """The cursor, and each run's version."""
        with self._lock:
            self._look(reader)
            versions = {run_id: self._version(order) for run_id, order in self._orders.items()}
            return self._version(self._order), versions

    def get(self, reader: HomeReader, run_ids: Iterable[str]) -> list[Seen]:
        """These runs, in this order; those that there are not are left out."""
        wanted = list(run_ids)
        with self._lock:
            self._look(reader)
            if not self._orders.keys() >= set(wanted):
                self.forget_look()  # it may have begun a moment ago
                self._look(reader)
            return self._seen(reader, wanted)

    def news(self, reader: HomeReader, cursor: str | None) -> News:
        """What changed since the cursor."""
        with self._lock:
            self._look(reader)
            since = self._since(cursor)
            if since is None:
                running = [row.id for row in reader.query("status=running").rows]
                return News(self._version(self._order), self._seen(reader, running), [], True)
            runs = [run_id for run_id, order in self._orders.items() if order > since]
            gone = [run_id for run_id, order in self._gone.items() if order > since]
            return News(self._version(self._order), self._seen(reader, runs), gone, False)

    def cursor(self) -> str:
        """Where the newest change stands, as far as anybody looked."""
        return self._version(self._order)

    def forget_look(self) -> None:
        """Something was changed through this server: the next question looks."""
        self._looked_at = float("-inf")

    def _version(self, order: int) -> str:
        return f"{self._boot}-{order}"

    def _since(self, cursor: str | None) -> int | None:
        boot, _, order = (cursor or "").partition("-")
        if boot != self._boot or not order.isdecimal() or len(order) > 18:
            return None
        return int(order)

    def _seen(self, reader: HomeReader, run_ids: Iterable[str]) -> list[Seen]:
        wanted = [run_id for run_id in run_ids if run_id in self._orders]
        missing = [run_id for run_id in wanted if run_id not in self._views]
        if missing:
            for view in reader.views(missing):
                self._views[view.id] = Seen(view, self._version(self._orders[view.id]))
        found = [self._views[run_id] for run_id in wanted if run_id in self._views]
        for seen in found:
            self._views.move_to_end(seen.view.id)
        while len(self._views) > _MOST_VIEWS:
            self._views.popitem(last=False)
        return found

    def _look(self, reader: HomeReader) -> None:
        at = self._clock.monotonic_s()
        if at - self._looked_at < _LOOK_EVERY_S:
            return
        stamps = _stamps(self._home, self._stamps)
        changed = {run_id for run_id in stamps if self._stamps.get(run_id) != stamps[run_id]}
        changed |= self._annotated(reader) & stamps.keys()
        changed |= {seen.view.id for seen in self._views.values() if _has_died(reader, seen.view)}
        for run_id in changed & stamps.keys():
            self._order += 1
            self._orders[run_id] = self._order
            self._gone.pop(run_id, None)
            self._views.pop(run_id, None)
        for run_id in self._orders.keys() - stamps.keys():
            self._order += 1
            self._gone[run_id] = self._order
            self._views.pop(run_id, None)
            del self._orders[run_id]
        self._stamps, self._looked_at = stamps, at

    def _annotated(self, reader: HomeReader) -> set[str]:
        """The runs whose name, tags or notes were changed since the last look."""
        stamp = _notes_stamp(self._home.annotations)
        if stamp == self._notes_stamp:
            return set()
        before, now = self._notes, reader.annotations()
        self._notes_stamp, self._notes = stamp, now
        return {run for run in before.keys() | now.keys() if before.get(run) != now.get(run)}


class _Stamp(NamedTuple):
    """What changes when a run's journal does."""

    folder_ns: int
    newest: str
    size: int


def _has_died(reader: HomeReader, view: RunView) -> bool:
    return view.status.name == "running" and reader.status(view.facts).name != "running"


def _stamps(home: Home, known: Mapping[str, _Stamp]) -> dict[str, _Stamp]:
    """All runs that have a journal. In plain strings: thousands of paths would cost more than the disk."""
    found = {}
    root = str(home.runs)
    try:
        names = os.listdir(root)  # noqa: PTH208 - names only, thousands of them
    except FileNotFoundError:
        return {}
    for name in names:
        if RUN_ID.fullmatch(name):
            stamp = _stamp(f"{root}/{name}/{_JOURNAL}", known.get(name))
            if stamp is not None:
                found[name] = stamp
    return found


def _stamp(journal: str, known: _Stamp | None) -> _Stamp | None:
    """The run's stamp; None where there is no journal, or it went while we looked."""
    try:
        folder_ns = os.stat(journal).st_mtime_ns  # noqa: PTH116
        newest = known.newest if known and known.folder_ns == folder_ns else _newest(journal)
        size = os.stat(f"{journal}/{newest}").st_size if newest else 0  # noqa: PTH116
    except OSError:
        return None
    return _Stamp(folder_ns, newest, size)


def _newest(journal: str) -> str:
    names = os.listdir(journal)  # noqa: PTH208
    return max((name for name in names if name.endswith(".seg")), default="")


def _notes_stamp(path: Path) -> tuple[int, ...]:
    stamp: list[int] = []
    for beside in (path, path.with_name(path.name + "-wal")):
        try:
            found = beside.stat()
        except OSError:
            continue
        stamp += (found.st_mtime_ns, found.st_size)
    return tuple(stamp)
