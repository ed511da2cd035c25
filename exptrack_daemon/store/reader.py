"""The library door: `open_home(path)` reads everything that stands in a home folder, daemon or no daemon.

What is asked about a run is answered from the catalogue plus what stands in the journal after it. So answers
are as fresh as the journal, and right also when the catalogue is missing, damaged or too new.
Nothing is changed, and nothing is opened before it is asked for.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from exptrack_daemon.errors import HomeUnusable, JournalNewer
from exptrack_daemon.files import Files, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import CURSOR_VERSION, Cursor
from exptrack_daemon.journal.entries import Entry, Rows, RunInfo, Stream
from exptrack_daemon.store.catalog import CatalogDamaged, CatalogNewer, consult
from exptrack_daemon.store.catalog_rows import list_names, load, load_all
from exptrack_daemon.store.facts import LedgerEntry, RunFacts, fresh
from exptrack_daemon.store.finding import choose
from exptrack_daemon.store.journals import (
    first_info,
    fold_tail,
    walk_all,
    walk_last_rows,
)
from exptrack_daemon.store.liveness import Liveness
from exptrack_daemon.store.status import RunStatus, status_of
from exptrack_daemon.store.tail import Tail, follow
from exptrack_proto.frame import RUN_ID
from exptrack_proto.records import Scalar

if TYPE_CHECKING:  # numpy is only loaded once series are asked for
    from exptrack_daemon.store.scanning import MediaEntry
    from exptrack_daemon.store.series import Axis, Cells, Metric, Series

DEFAULT_HOME = "~/.exptrack"
Answer = TypeVar("Answer")


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    step: int
    time_ns: int
    value: Scalar
    rank: int


@dataclass(slots=True)
class RunView:
    """A run as readers show it."""

    facts: RunFacts
    status: RunStatus
    problems: list[str] = field(default_factory=list)
    """What of the journal could not be read."""

    @property
    def id(self) -> str:
        return self.facts.run.run_id


@dataclass(frozen=True, slots=True)
class SinkState:
    """How far one sink is with a run."""

    name: str
    status: str
    """`live`, `lagging`, `done`, `unavailable`, `broken`, or `unreadable` for a damaged cursor."""
    reason: str
    rows: int
    lag_rows: int
    dead_letters: int
    updated_ns: int


def open_home(home: Path | str | None = None) -> HomeReader:
    """Read a home folder; None: `EXPTRACK_HOME`, else `~/.exptrack`. It need not exist yet.

    Raises:
        HomeUnusable: there is something at that path, but no folder that can be read.
    """
    path = locate(home)
    try:
        if path.exists():
            next(path.iterdir(), None)
    except OSError as error:
        raise HomeUnusable(f"{path} is no folder that can be read: {error.strerror}") from error
    return HomeReader(Home(path))


def locate(home: Path | str | None) -> Path:
    """The home folder's real path, as daemon and agent compute it too."""
    chosen = home or os.environ.get("EXPTRACK_HOME") or DEFAULT_HOME
    return Path(chosen).expanduser().resolve()


class HomeReader:
    """What stands in one home folder. Holds no state but the notices about what could not be used."""

    def __init__(self, home: Home, files: Files | None = None) -> None:
        self.home = home
        self.notices: list[str] = []
        self._files = files or OsFiles()
        self._liveness = Liveness(home)

    def run_ids(self) -> list[str]:
        """The runs that have a journal."""
        names = self._files.names(self.home.runs)
        return [
            name
            for name in names
            if RUN_ID.fullmatch(name) and self._files.exists(self.home.journal(name))
        ]

    def runs(self, *, values: bool = False) -> list[RunView]:
        """All runs, newest first; with `values` also their summaries, ledgers and other lists."""
        loaded = self._ask(lambda catalog: load_all(catalog, values=values)) or []
        known = {facts.run.run_id: facts for facts in loaded}
        views = [self._view(known.get(run_id) or fresh(run_id)) for run_id in self.run_ids()]
        return sorted(views, key=lambda view: (-view.facts.run.created_ns, view.id))

    def find(self, text: str) -> RunView:
        """The run with this id, unique beginning of an id, or name; `latest` is the newest.

        Raises:
            RunNotFound: none fits, or more than one.
        """
        return self.view(choose(text, self._infos(), self.home.path))

    def view(self, run_id: str) -> RunView:
        """One run, whole."""
        return self._view(self._ask(lambda catalog: load(catalog, run_id)) or fresh(run_id))

    def points(self, run: str | RunView, *, system: bool = False) -> Iterator[Point]:
        """Every value of the run exactly once, in journal order; with `system` also the sampler's."""
        for entry in self.rows(run, system=system):
            rank = entry.stream.rank
            for row in entry.rows:
                step, time_ns = row.step, row.time_ns
                for name, value in row.values.items():
                    yield Point(name, step, time_ns, value, rank)

    def rows(self, run: str | RunView, *, system: bool = False) -> Iterator[Rows]:
        """Every row of the run exactly once, in journal order."""
        for _, entry in walk_all(self._files, self.home, _id(run)).entries():
            if isinstance(entry, Rows) and (system or entry.stream.role == "trainer"):
                yield entry

    def metrics(self, run: str | RunView) -> list[Metric]:
        """The run's metrics, the sampler's after the trainers'."""
        from exptrack_daemon.store.scanning import metrics_of

        return metrics_of(self._entries(run))

    def series(
        self, run: str | RunView, names: Sequence[str], *, rank: int = 0, system: bool = False
    ) -> dict[str, Series]:
        """All points of the named series of one rank, by name; empty where there are none."""
        from exptrack_daemon.store.scanning import series_of

        return series_of(self._entries(run), names, rank=rank, system=system)

    def cells(  # noqa: PLR0913 - the window is three numbers
        self,
        run: str | RunView,
        names: Sequence[str],
        *,
        width: int,
        lo: int,
        hi: int,
        axis: Axis = "step",
        rank: int = 0,
        system: bool = False,
    ) -> dict[str, Cells]:
        """The named series between lo and hi on the grid of this width (`series.width_for`), by name."""
        from exptrack_daemon.store.series import cells_of

        found = self.series(run, names, rank=rank, system=system)
        return {
            name: cells_of(series, axis=axis, lo=lo, hi=hi, width=width)
            for name, series in found.items()
        }

    def media(self, run: str | RunView) -> Iterator[MediaEntry]:
        """The run's images, histograms, texts and tables, in journal order."""
        from exptrack_daemon.store.scanning import media_of

        return media_of(self._entries(run))

    def _entries(self, run: str | RunView) -> Iterator[Entry]:
        for _, entry in walk_all(self._files, self.home, _id(run)).entries():
            if entry is not None:
                yield entry

    def tail(
        self,
        run: str | RunView,
        *,
        last_rows: int = 10,
        system: bool = False,
        wait: Callable[[float], bool],
    ) -> Iterator[Entry]:
        """The last rows' entries, then what comes, until no trainer is left; with `system` the sampler's too.

        `wait(seconds)` is called when there is nothing new; when it says True, that is the end.
        """
        facts = self.view(_id(run)).facts
        # a row of the sampler's may stand between any two of the trainers'
        reach = last_rows if system else last_rows + facts.system_rows
        walk = walk_last_rows(self._files, self.home, facts, reach)
        return follow(walk, facts, self.status, Tail(last_rows, system), wait)

    def status(self, facts: RunFacts) -> RunStatus:
        return status_of(facts, self.is_alive)

    def is_alive(self, stream: Stream) -> bool:
        """Whether the trainer that writes this stream still lives."""
        return self._liveness.is_alive(stream)

    def sink_states(self, run: RunView) -> list[SinkState]:
        """The sinks that have a cursor for this run, and how far each is behind the journal."""
        total = run.facts.position.rows
        return [self._sink_state(run.id, name, total) for name in self.sinks_of(run.id)]

    def sinks_of(self, run_id: str) -> list[str]:
        """The names of the sinks that have a cursor for this run."""
        folder = self.home.cursor(run_id, "x").parent
        names = self._files.names(folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def ledger(self, run: RunView) -> list[LedgerEntry]:
        """What was dropped, exactly."""
        return run.facts.ledger

    def cursor(self, run_id: str, sink: str) -> Cursor | None:
        """A sink's cursor as it stands; None when it cannot be read."""
        try:
            cursor = msgspec.json.decode(
                self._files.read(self.home.cursor(run_id, sink)), type=Cursor
            )
        except (OSError, msgspec.DecodeError):
            return None
        return cursor if cursor.version <= CURSOR_VERSION else None

    def _sink_state(self, run_id: str, name: str, total: int) -> SinkState:
        cursor = self.cursor(run_id, name)
        if cursor is None:
            reason = "its cursor cannot be read; the daemon will rebuild this sink"
            return SinkState(name, "unreadable", reason, 0, total, 0, 0)
        lag = max(0, total - cursor.rows)
        return SinkState(
            name,
            _sink_status(cursor, lag),
            cursor.reason,
            cursor.rows,
            lag,
            cursor.dead_letters,
            cursor.updated_ns,
        )

    def _view(self, facts: RunFacts) -> RunView:
        try:
            problems = fold_tail(self._files, self.home, facts)
        except JournalNewer as error:
            return RunView(facts, RunStatus("unreadable", str(error)), [str(error)])
        except OSError as error:
            reason = f"its journal cannot be read: {error.strerror}"
            return RunView(facts, RunStatus("unreadable", reason), [reason])
        return RunView(facts, self.status(facts), problems)

    def _infos(self) -> list[RunInfo]:
        """What each run is, without folding anything."""
        known = self._ask(list_names) or {}
        infos = []
        for run_id in self.run_ids():
            try:
                info = known.get(run_id) or first_info(self._files, self.home, run_id)
            except (JournalNewer, OSError):
                info = fresh(run_id).run
            infos.append(info)
        return infos

    def _ask(self, question: Callable[[sqlite3.Connection], Answer | None]) -> Answer | None:
        """What the catalogue says; None, and a notice, when it can't be used."""
        try:
            return consult(self.home, question)
        except (CatalogNewer, CatalogDamaged, sqlite3.DatabaseError) as error:
            notice = f"the catalogue is not used, the journals are read instead: {error}"
            if notice not in self.notices:
                self.notices.append(notice)
            return None


def _id(run: str | RunView) -> str:
    return run if isinstance(run, str) else run.id


def _sink_status(cursor: Cursor, lag: int) -> str:
    if cursor.status != "live":
        return cursor.status
    if lag:
        return "lagging"
    return "done" if cursor.ended else "live"
