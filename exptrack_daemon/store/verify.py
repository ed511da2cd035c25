"""Whether every row of a run is accounted for: the judge (pure), and the shell that reads for it.

What is checked:

1. The journal reads whole: no damage, no missing segment, every frame decodes.
2. Each stream's sequences go on without a gap from 0; a gap is allowed only where a loss entry names it.
   So, for each stream: items produced = items in the journal + items in the ledger.
3. Each sink's cursor lies within the journal, and its rows are not more than the journal's.
   So, for each sink: rows in the journal = rows delivered (or set aside) + rows pending.
4. The catalogue says what the journal says up to the catalogue's own position.
5. The store's parts hold every point of the journal before the row at which they end, and no other.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor
from exptrack_daemon.journal.entries import Entry, Event
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.store.audit import StoreAudit, read_store
from exptrack_daemon.store.catalog import CatalogDamaged, CatalogNewer, consult
from exptrack_daemon.store.catalog_rows import load
from exptrack_daemon.store.facts import RunFacts, fresh
from exptrack_daemon.store.journals import fold_entry, walk_all
from exptrack_daemon.store.reader import HomeReader
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import Frame, parse
from exptrack_proto.records import Loss

Sums: TypeAlias = tuple[int, ...]


@dataclass(slots=True)
class StreamAccount:
    """What one stream produced, and what became of it."""

    next: int = 0
    journal_items: int = 0
    ledger_items: int = 0
    missing_items: int = 0


@dataclass(slots=True)
class SinkAccount:
    """What one sink has of the run."""

    name: str
    rows: int
    pending_rows: int
    dead_letters: int
    status: str


@dataclass(slots=True)
class Verdict:
    """The account of one run. `problems` is empty when everything is accounted for."""

    run_id: str
    frames: int = 0
    rows: int = 0
    points: int = 0
    streams: dict[str, StreamAccount] = field(default_factory=dict)
    sinks: list[SinkAccount] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Worth knowing, and accounted for: losses that the ledger names, dead letters."""

    @property
    def produced_items(self) -> int:
        return sum(stream.next for stream in self.streams.values())

    @property
    def journal_items(self) -> int:
        return sum(stream.journal_items for stream in self.streams.values())

    @property
    def ledger_items(self) -> int:
        return sum(stream.ledger_items for stream in self.streams.values())


class Judge:
    """Takes the frames of one run in journal order, then its cursors, and gives the verdict."""

    def __init__(self, run_id: str) -> None:
        self.verdict = Verdict(run_id)

    def take(self, frame: Frame, entry: Entry | None) -> None:
        """The next frame, and the entry it holds, if any."""
        self.verdict.frames += 1
        key = frame.stream.hex()
        account = self.verdict.streams.setdefault(key, StreamAccount())
        loss = entry.item if isinstance(entry, Event) and isinstance(entry.item, Loss) else None
        if frame.first < account.next:
            self._blame(
                f"stream {key[:8]}: items {frame.first} to {frame.end - 1} stand in the journal twice;"
                " readers would count them twice: keep the journal and report this as a bug"
            )
            return
        named = _named(loss, frame, account.next)
        if loss is not None and loss.first < account.next:
            self._blame(
                f"stream {key[:8]}: the ledger names items {loss.first} to {loss.last} as lost, but the"
                f" journal holds them up to {account.next - 1}; nothing is lost there: report this as a bug"
            )
        missing = frame.first - account.next - named
        # the daemon's own loss entry stands in the place of the last item it names
        replaces = loss is not None and loss.last == frame.first
        account.ledger_items += named + replaces
        account.journal_items += frame.items - replaces
        account.next = frame.end
        if missing:
            account.missing_items += missing
            self._blame(
                f"stream {key[:8]}: {missing} items before item {frame.first} are missing and no loss"
                " entry names them; if the journal is damaged (see above) they were in the damaged part,"
                " else report this as a bug"
            )

    def take_flaws(self, flaws: Iterable[str]) -> None:
        for flaw in flaws:
            self._blame(
                f"journal: {flaw}; the bytes are kept, the rest stays readable. Check the disk, and restore"
                " the segment from a backup if there is one"
            )

    def take_facts(self, facts: RunFacts) -> None:
        """The facts of the whole journal."""
        verdict = self.verdict
        verdict.rows = facts.position.rows
        verdict.points = facts.points + facts.system_points
        for entry in facts.ledger:
            lost = f"1 item ({entry.first})"
            if entry.items > 1:
                lost = f"{entry.items} items ({entry.first} to {entry.last})"
            verdict.notes.append(
                f"stream {entry.stream_id[:8]} (rank {entry.rank}) lost {lost}: {entry.reason}"
            )

    def take_cursor(self, name: str, cursor: Cursor | None, end: Position) -> None:
        """A sink's cursor, read before the journal was, and the journal's end."""
        replay = f"exptrack replay {self.verdict.run_id} --to {name}"
        if cursor is None:
            self._blame(f"sink {name}: its cursor cannot be read; rebuild it: {replay}")
            return
        pending = end.rows - cursor.rows
        account = SinkAccount(name, cursor.rows, pending, cursor.dead_letters, cursor.status)
        self.verdict.sinks.append(account)
        if cursor.position > end or cursor.delivered > end.record:
            self._blame(
                f"sink {name}: its cursor lies behind the journal's end (was the journal restored from an"
                f" older copy?); rebuild it: {replay}"
            )
        elif pending < 0:
            self._blame(
                f"sink {name}: it counts {cursor.rows} rows, the journal has {end.rows};"
                f" rebuild it: {replay}"
            )
        if cursor.dead_letters:
            self.verdict.notes.append(
                f"sink {name} refused {cursor.dead_letters} entries for good; they are kept as dead letters"
            )

    def take_catalog(self, saved: Sums, journal: Sums | None) -> None:
        """What the catalogue adds up to, and the journal at the same place, if it has one."""
        replay = f"exptrack replay {self.verdict.run_id} --to catalog"
        if journal is None:
            self._blame(f"catalogue: it is ahead of the journal; rebuild it: {replay}")
        elif saved != journal:
            self._blame(f"catalogue: its sums are not the journal's; rebuild it: {replay}")

    def take_store(self, audit: StoreAudit) -> None:
        """The store's parts, and the journal's rows that they should hold."""
        problem = audit.verdict()
        if problem:
            self._blame(
                f"store: {problem}; readers take the journal instead where a part cannot be read."
                f" Rebuild it: exptrack replay {self.verdict.run_id} --to store"
            )

    def _blame(self, problem: str) -> None:
        self.verdict.problems.append(problem)


def _named(loss: Loss | None, frame: Frame, since: int) -> int:
    """Items between `since` and the frame that its loss entry names."""
    if loss is None:
        return 0
    first, last = max(loss.first, since), min(loss.last, frame.first - 1)
    return max(0, last - first + 1)


def _sums(facts: RunFacts) -> Sums:
    return (
        *(facts.rows, facts.points, facts.system_rows, facts.system_points),
        *(len(facts.streams), len(facts.ledger), facts.lost_items),
    )


def verify_run(reader: HomeReader, run_id: str) -> Verdict:
    """Read all there is of one run, and judge it. Works while the run is being written."""
    judge = Judge(run_id)
    # cursors and catalogue first: they only move forward, and never past the journal
    cursors = {name: reader.cursor(run_id, name) for name in reader.sinks_of(run_id)}
    store = read_store(reader, run_id)
    saved = _from_catalog(reader, run_id)
    facts, sums = fresh(run_id), _SumsAt(saved.position.record if saved is not None else -1)
    walk = walk_all(OsFiles(), reader.home, run_id)
    for found, entry in walk.entries():
        sums.look(facts)
        if entry is not None:
            fold_entry(facts, entry, walk.replay.run)
            if store is not None:
                store.take(entry)
        facts.position = found.end
        with contextlib.suppress(ProtocolError):  # the walk has noted it as a flaw
            judge.take(parse(found.frame), entry)
    sums.look(facts)
    facts.position = max(facts.position, walk.position)
    judge.take_flaws(walk.flaws)
    judge.take_facts(facts)
    for name, cursor in cursors.items():
        judge.take_cursor(name, cursor, facts.position)
    if saved is not None and not walk.flaws:
        judge.take_catalog(_sums(saved), sums.found)
    if store is not None and not walk.flaws:
        judge.take_store(store)
    return judge.verdict


class _SumsAt:
    """Notes what a growing account adds up to when it reaches one frame."""

    def __init__(self, record: int) -> None:
        self._record = record
        self.found: Sums | None = None

    def look(self, facts: RunFacts) -> None:
        if facts.position.record == self._record:
            self.found = _sums(facts)


def _from_catalog(reader: HomeReader, run_id: str) -> RunFacts | None:
    try:
        saved = consult(reader.home, lambda connection: load(connection, run_id))
    except (CatalogNewer, CatalogDamaged, sqlite3.DatabaseError):
        return None  # readers do without it, and the daemon rebuilds it
    return saved if saved is not None and saved.position > START else None
