"""`catalog.sqlite`: what readers list, kept by one writer and read by anybody.

- WAL mode, so readers never block the writer and the writer never blocks them; private to the user (0600).
- `user_version` is the schema's version. A newer one is refused and left untouched.
- It is a projection: everything in it can be folded again from the journals. So commits are not synced one
  by one (a power cut may cost the last, never consistency); a damaged file is set aside, not repaired.
- Values are JSON texts, as Python writes them: SQLite would turn NaN into NULL.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.home import Home, make_private

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
Answer = TypeVar("Answer")
_SIDE_FILES = ("", "-wal", "-shm")

_SCHEMA = """
CREATE TABLE runs (
  id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, run_group TEXT, job_type TEXT,
  tags TEXT NOT NULL, notes TEXT NOT NULL, config TEXT NOT NULL, sinks TEXT,
  created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL,
  status TEXT NOT NULL, exit_code INTEGER, attempts INTEGER NOT NULL, ranks INTEGER NOT NULL,
  rows INTEGER NOT NULL, points INTEGER NOT NULL,
  system_rows INTEGER NOT NULL, system_points INTEGER NOT NULL,
  last_step INTEGER, step_attempt INTEGER NOT NULL,
  -- the journal position that all of this run's lines stand for
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, record INTEGER NOT NULL, journal_rows INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE streams (
  run TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
  rank INTEGER NOT NULL, world_size INTEGER NOT NULL, attempt INTEGER NOT NULL, role TEXT NOT NULL,
  host TEXT NOT NULL, pid INTEGER NOT NULL, opened_ns INTEGER NOT NULL,
  next INTEGER NOT NULL, rows INTEGER NOT NULL,
  closed_ns INTEGER, status TEXT NOT NULL, exit_code INTEGER,
  PRIMARY KEY (run, id)
) WITHOUT ROWID;
-- kind: rank0, ranks (all others), user (set as summary), system
CREATE TABLE summary (
  run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (run, kind, name)
) WITHOUT ROWID;
-- the items `first` to `last` of the stream were dropped
CREATE TABLE ledger (
  run TEXT NOT NULL, number INTEGER NOT NULL, stream_id TEXT NOT NULL, rank INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL, time_ns INTEGER NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE alerts (
  run TEXT NOT NULL, number INTEGER NOT NULL, time_ns INTEGER NOT NULL, level TEXT NOT NULL,
  title TEXT NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE notes (
  run TEXT NOT NULL, number INTEGER NOT NULL, time_ns INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE artifacts (
  run TEXT NOT NULL, number INTEGER NOT NULL, time_ns INTEGER NOT NULL, step INTEGER NOT NULL,
  name TEXT NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL, metadata TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
"""
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS summary_by_name ON summary (name, kind, run, value)",
    "CREATE INDEX IF NOT EXISTS runs_listed ON runs (created_ns DESC, status, project, name, tags)",
    "DROP INDEX IF EXISTS runs_by_age",
)
"""One metric of all runs, and what is asked of all of them, for the run list; an older catalogue gets them
when it is next written."""


class CatalogNewer(ExptrackError):
    """The catalogue was written by a newer exptrack."""


class CatalogDamaged(Exception):
    """The file is no catalogue, or not a whole one."""


def open_writing(home: Home) -> tuple[sqlite3.Connection, bool]:
    """The catalogue for its one writer, and whether it was made just now.

    Raises:
        CatalogNewer: a newer exptrack wrote it; nothing was changed.
        CatalogDamaged: it cannot be read; `set_aside` it.
        sqlite3.OperationalError, OSError: not now (locked, disk full, read-only).
    """
    descriptor = os.open(home.catalog, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.close(descriptor)
    connection = _connect(home.catalog, "rw")
    try:
        version = _version(connection, home.catalog)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        if version == 0:
            _create(connection)
        for statement in _INDEXES:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection, version == 0


def open_reading(home: Home) -> sqlite3.Connection | None:
    """The catalogue for a reader; None when there is none yet.

    Raises:
        CatalogNewer: a newer exptrack wrote it.
        CatalogDamaged: it cannot be read.
    """
    if not home.catalog.exists():
        return None
    connection = _open_somehow(home)
    try:
        if _version(connection, home.catalog) == 0:
            connection.close()
            return None
    except BaseException:
        connection.close()
        raise
    return connection


def consult(home: Home, question: Callable[[sqlite3.Connection], Answer | None]) -> Answer | None:
    """Ask the catalogue one thing, as it stands at one moment; None when there is none.

    Raises:
        CatalogNewer, CatalogDamaged, sqlite3.DatabaseError: it can't be used.
    """
    connection = open_reading(home)
    if connection is None:
        return None
    with closing(connection):
        connection.execute("BEGIN")
        return question(connection)


def set_aside(home: Home, now_ns: int) -> Path:
    """Move a damaged catalogue into the quarantine, so that a new one can be built from the journals."""
    make_private(home.quarantine)
    target = home.quarantine / f"catalog-{now_ns}.sqlite"
    for suffix in _SIDE_FILES:
        source = home.catalog.with_name(home.catalog.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            source.rename(target.with_name(target.name + suffix))
    return target


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={mode}"
    # isolation_level None: transactions begin and end where the code says so
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _open_somehow(home: Home) -> sqlite3.Connection:
    """Read-only; where even the helper files of WAL cannot be made, as an unchanging file."""
    connection = _connect(home.catalog, "ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if home.catalog.with_name(home.catalog.name + "-wal").exists():
            raise CatalogDamaged(f"{home.catalog} cannot be opened for reading") from None
        return _connect(home.catalog, "ro&immutable=1")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CatalogDamaged(f"{home.catalog}: {error}") from error
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version == SCHEMA_VERSION:
            connection.execute("SELECT id, record FROM runs LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        if is_passing(error):
            raise
        raise CatalogDamaged(f"{path}: {error}") from error
    if version > SCHEMA_VERSION:
        raise CatalogNewer(
            f"{path} has catalogue version {version}, newest known is {SCHEMA_VERSION};"
            " install a newer exptrack to open it (nothing was changed)"
        )
    return version


def is_passing(error: sqlite3.DatabaseError) -> bool:
    """Whether it may go by itself (locked, full disk, no permission): not a sign of damage."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")
