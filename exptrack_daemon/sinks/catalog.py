"""The sink behind `catalog.sqlite`: folds a run's journal into facts, and keeps the catalogue at them.

Exactly once without help from the cursor: a run's lines carry the journal position they stand for, written in
the same transaction. When the run is opened again,

- a catalogue that is ahead of the cursor passes over, by sequence, what comes again;
- one that is behind it (it was lost, damaged, or older) first folds the journal up to the cursor by itself;
- no saved state means: begin anew (a replay), so the run's lines are replaced whole by the first commit.

A damaged catalogue is moved to the quarantine. The runs that nobody writes any more come back because a new
catalogue asks for their replay: the delivery loop feeds them again from the journal's beginning.
"""

from __future__ import annotations

import logging
import sqlite3

from exptrack_daemon.errors import SinkBroken, SinkUnavailable
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, RunInfo, SavedState, Settled, SinkContext
from exptrack_daemon.store.catalog import (
    CatalogDamaged,
    CatalogNewer,
    is_passing,
    open_writing,
    set_aside,
)
from exptrack_daemon.store.catalog_rows import Saved, load, save
from exptrack_daemon.store.facts import fresh
from exptrack_daemon.store.journals import fold_entry, fold_tail

NAME = "catalog"
logger = logging.getLogger(__name__)


class CatalogSink:
    """One run's lines in the catalogue."""

    def __init__(self, run: RunInfo, context: SinkContext, saved: SavedState | None) -> None:
        self._context = context
        self._connection: sqlite3.Connection | None = None
        self._file_id = (0, 0)
        self._facts = fresh(run.run_id)
        self._saved = Saved()
        self._unsettled: Position | None = None
        self._open(saved)

    def write(self, batch: Batch) -> None:
        for entry in batch.entries:
            fold_entry(self._facts, entry, batch.run)
        # not backwards: what comes again was folded before
        self._facts.position = max(self._facts.position, batch.end)
        self._unsettled = batch.end

    def settled(self) -> Settled | None:
        if self._unsettled is None:
            return None
        self._commit()
        end, self._unsettled = self._unsettled, None
        return Settled(end, {"end": list(end)})

    def close(self) -> None:
        """What was not settled is handed over again, so nothing is committed here."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, saved: SavedState | None) -> None:
        connection = self._connect()
        if saved is None:
            return
        known = load(connection, self._facts.run.run_id)
        if known is not None:
            self._facts, self._saved = known, Saved.of(known)
        cursor = Position(*saved["end"])
        if self._facts.position < cursor:
            fold_tail(OsFiles(), self._context.home, self._facts, until=cursor.record)
            self._facts.position = cursor
            self._commit()

    def _commit(self) -> None:
        try:
            self._saved = save(self._connect(), self._facts, self._saved)
        except sqlite3.DatabaseError as error:
            if is_passing(error):
                raise SinkUnavailable(f"the catalogue can't be written now: {error}") from error
            self._set_aside(error)
            raise SinkUnavailable("the catalogue was damaged and is being rebuilt") from error

    def _connect(self) -> sqlite3.Connection:
        """The open catalogue; opened again when somebody removed or replaced the file."""
        home = self._context.home
        if self._connection is not None and self._file_id != _file_id(home):
            self.close()
        if self._connection is None:
            self._connection = self._open_file()
            self._file_id = _file_id(home)
        return self._connection

    def _open_file(self) -> sqlite3.Connection:
        home = self._context.home
        try:
            try:
                connection, is_new = open_writing(home)
            except (CatalogDamaged, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.DatabaseError) and is_passing(error):
                    raise
                self._set_aside(error)
                connection, is_new = open_writing(home)
        except CatalogNewer as error:
            raise SinkBroken(str(error)) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise SinkUnavailable(f"the catalogue can't be opened now: {error}") from error
        if is_new:
            _feed_again(home, but=self._facts.run.run_id)
        return connection

    def _set_aside(self, error: Exception) -> None:
        self.close()
        kept = set_aside(self._context.home, self._context.clock.now_ns())
        logger.warning("Catalogue was damaged (%s), kept as %s, and is rebuilt.", error, kept)


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> CatalogSink:
    return CatalogSink(run, context, saved)


def _feed_again(home: Home, but: str) -> None:
    """Ask the delivery loop, as `exptrack replay` does, to bring all other runs into a new catalogue."""
    for run_id in OsFiles().names(home.runs):
        cursor = home.cursor(run_id, NAME)
        if run_id != but and cursor.exists():
            cursor.with_suffix(".replay").touch(mode=0o600)


def _file_id(home: Home) -> tuple[int, int]:
    try:
        found = home.catalog.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
