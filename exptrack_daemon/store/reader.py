"""The library door: `open_home(path)` reads everything that stands in a home folder, daemon or no daemon.

What is asked about a run is answered from the catalogue plus what stands in the journal after it. So answers
are as fresh as the journal, and right also when the catalogue is missing, damaged or too new.
Nothing is changed, and nothing is opened before it is asked for.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.errors import HomeUnusable, JournalNewer, RunNotFound
from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import Cursor
from exptrack_daemon.journal.entries import Entry, RunInfo, Stream
from exptrack_daemon.live import read_live
from exptrack_daemon.store.annotations import (
    Annotation,
    AnnotationsUnusable,
    Edit,
    edit_annotation,
    read_annotations,
)
from exptrack_daemon.store.catalog import CatalogDamaged, CatalogNewer, consult
from exptrack_daemon.store.catalog_rows import list_names, load, load_all
from exptrack_daemon.store.door import Point, PointsDoor
from exptrack_daemon.store.facts import LedgerEntry, RunFacts, fresh
from exptrack_daemon.store.filters import parse_filter
from exptrack_daemon.store.finding import choose
from exptrack_daemon.store.journals import (
    first_info,
    fold_tail,
    walk_last_rows,
)
from exptrack_daemon.store.liveness import Liveness
from exptrack_daemon.store.run_list import (
    ColumnNames,
    Question,
    RunPage,
    count_names,
    list_runs,
)
from exptrack_daemon.store.status import RunStatus, status_of
from exptrack_daemon.store.tail import Tail, follow
from exptrack_proto.frame import RUN_ID

__all__ = ["HomeReader", "Point", "RunView", "SinkState", "locate", "open_home"]

DEFAULT_HOME = "~/.exptrack"
Answer = TypeVar("Answer")


@dataclass(slots=True)
class RunView:
    """A run as readers show it."""

    facts: RunFacts
    status: RunStatus
    problems: list[str] = field(default_factory=list)
    """What of the journal could not be read."""
    annotation: Annotation | None = None
    """What people changed afterwards."""

    @property
    def id(self) -> str:
        return self.facts.run.run_id

    @property
    def run(self) -> RunInfo:
        """What the run is called now; `facts.run` is what it was begun as (folders are called so)."""
        run = self.facts.run
        return run if self.annotation is None else self.annotation.over(run)


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


class HomeReader(PointsDoor):
    """What stands in one home folder.

    Holds no state but notices about what could not be used, and what of the journals is in no part yet.
    """

    def __init__(self, home: Home, files: Files | None = None) -> None:
        super().__init__(home, files)
        self._liveness = Liveness(home)

    def run_ids(self) -> list[str]:
        """The runs that have a journal."""
        return [name for name in self._files.names(self.home.runs) if self.has_journal(name)]

    def folders(self) -> list[str]:
        """The folders that may be runs; without looking whether each has a journal."""
        return [name for name in self._files.names(self.home.runs) if RUN_ID.fullmatch(name)]

    def folder_names(self) -> set[str]:
        """What stands in the folder of runs, as cheap as can be: not all of them need be runs."""
        try:
            return set(os.listdir(self.home.runs))  # noqa: PTH208 - of ten thousand names only the names
        except FileNotFoundError:
            return set()

    def has_journal(self, run_id: str) -> bool:
        return bool(RUN_ID.fullmatch(run_id)) and self._files.exists(self.home.journal(run_id))

    def live_runs(self) -> set[str]:
        """The runs that trainers are writing, as the daemon last said."""
        return {live.run_id for live in read_live(self._files, self.home.live)}

    def runs(self, *, values: bool = False) -> list[RunView]:
        """All runs, newest first; with `values` also their summaries, ledgers and other lists."""
        loaded = self.ask(lambda catalog: load_all(catalog, values=values)) or []
        known = {facts.run.run_id: facts for facts in loaded}
        notes = self.annotations()
        views = [
            self._view(known.get(run_id) or fresh(run_id), notes.get(run_id))
            for run_id in self.run_ids()
        ]
        return sorted(views, key=lambda view: (-view.facts.run.created_ns, view.id))

    def find(self, text: str) -> RunView:
        """The run with this id, unique beginning of an id, or name; `latest` is the newest.

        Raises:
            RunNotFound: none fits, or more than one.
        """
        return self.view(choose(text, self.infos(), self.home.path))

    def view(self, run_id: str) -> RunView:
        """One run, whole."""
        facts = self.ask(lambda catalog: load(catalog, run_id)) or fresh(run_id)
        return self._view(facts, self.annotations().get(run_id))

    def views(self, run_ids: Sequence[str]) -> list[RunView]:
        """These runs, whole, as far as they have a journal."""
        there = [run_id for run_id in run_ids if self.has_journal(run_id)]
        if not there:
            return []
        loaded = self.ask(lambda catalog: [load(catalog, run_id) for run_id in there]) or []
        known = {facts.run.run_id: facts for facts in loaded if facts is not None}
        notes = self.annotations()
        return [self._view(known.get(run) or fresh(run), notes.get(run)) for run in there]

    def query(
        self,
        filter: str = "",  # noqa: A002 - what everybody calls it
        sort: str = "-created",
        columns: Sequence[str] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> RunPage:
        """One page of the runs that fit a filter, as `filters` reads it.

        `sort` holds names, separated by commas; `-` before one: largest first. `columns` are names of last
        values, `config.KEY`, or fields; the page has their values by name.

        Raises:
            FilterError: the filter can't be read.
        """
        question = Question.of(parse_filter(filter), sort, columns)
        now_ns = SystemClock().now_ns()
        return list_runs(self, question, limit=limit, offset=offset, now_ns=now_ns)

    def column_names(self) -> ColumnNames:
        """The names of last values and keys of configs, and how many runs have each."""
        return count_names(self)

    def annotations(self) -> Mapping[str, Annotation]:
        """What people changed about runs afterwards, by run; empty, and a notice, when it can't be read."""
        try:
            return read_annotations(self.home.annotations)
        except AnnotationsUnusable as error:
            self._note(f"changed names, tags and notes are not shown: {error}")
            return {}

    def annotate(
        self,
        run_id: str,
        *,
        name: str | None = None,
        add_tags: Sequence[str] = (),
        remove_tags: Sequence[str] = (),
        notes: str | None = None,
        archived: bool | None = None,
    ) -> RunInfo:
        """Change what a run is called, durably; what is None stays. The name "" is the run's own again.

        Raises:
            RunNotFound: there is no such run (an id, not a name).
            AnnotationWrong: a text is too long, or no text.
            AnnotationsUnusable: the file can't be written, or a newer exptrack wrote it.
        """
        edit = Edit(
            name=name,
            add_tags=tuple(add_tags),
            remove_tags=tuple(remove_tags),
            notes=notes,
            archived=archived,
        )
        if not self.has_journal(run_id):
            raise RunNotFound(f"there is no run {run_id!r} in {self.home.path}")
        now_ns = SystemClock().now_ns()
        annotation = edit_annotation(self.home.annotations, run_id, edit, now_ns)
        return annotation.over(self._info(run_id))

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

    def _view(self, facts: RunFacts, annotation: Annotation | None = None) -> RunView:
        try:
            problems = fold_tail(self._files, self.home, facts)
        except JournalNewer as error:
            status = RunStatus("unreadable", str(error))
            return RunView(facts, status, [str(error)], annotation)
        except OSError as error:
            reason = f"its journal cannot be read: {error.strerror}"
            return RunView(facts, RunStatus("unreadable", reason), [reason], annotation)
        return RunView(facts, self.status(facts), problems, annotation)

    def infos(self) -> list[RunInfo]:
        """What each run is called now, without folding anything."""
        known = self.ask(list_names) or {}
        notes = self.annotations()
        infos = []
        for run_id in self.folders():
            info = known.get(run_id)
            if info is None and self.has_journal(run_id):
                info = self._first_info(run_id)
            if info is not None:
                infos.append(notes[run_id].over(info) if run_id in notes else info)
        return infos

    def _info(self, run_id: str) -> RunInfo:
        facts = self.ask(lambda catalog: load(catalog, run_id))
        return self._first_info(run_id) if facts is None else facts.run

    def _first_info(self, run_id: str) -> RunInfo:
        try:
            return first_info(self._files, self.home, run_id)
        except (JournalNewer, OSError):
            return fresh(run_id).run

    def ask(self, question: Callable[[sqlite3.Connection], Answer | None]) -> Answer | None:
        """What the catalogue says; None, and a notice, when it can't be used."""
        try:
            return consult(self.home, question)
        except (CatalogNewer, CatalogDamaged, sqlite3.DatabaseError) as error:
            self._note(f"the catalogue is not used, the journals are read instead: {error}")
            return None


def _id(run: str | RunView) -> str:
    return run if isinstance(run, str) else run.id


def _sink_status(cursor: Cursor, lag: int) -> str:
    if cursor.status != "live":
        return cursor.status
    if lag:
        return "lagging"
    return "done" if cursor.ended else "live"
