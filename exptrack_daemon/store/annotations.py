"""`annotations.sqlite`: what people change about a run afterwards. A truth of its own, in no journal.

- WAL mode, private to the user (0600), synced at every commit; any reader, several writers, no daemon.
- `user_version` is the schema's version. A newer one is refused and left untouched, and so is a file that is
  damaged: nothing here can be made again from elsewhere, so it is never set aside by itself.
- Tags are kept as what was added and what was taken away, so the run's own stay readable.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.journal.entries import RunInfo

SCHEMA_VERSION = 1
MOST_NAME_CHARS = 256
MOST_NOTES_CHARS = 64 * 1024
MOST_TAGS = 256
_BUSY_TIMEOUT_S = 10.0
_COLUMNS = "run, name, tags_added, tags_removed, notes, archived, updated_ns"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS annotations (
  run TEXT PRIMARY KEY,
  name TEXT,                    -- NULL: the run's own
  tags_added TEXT NOT NULL, tags_removed TEXT NOT NULL,   -- JSON lists
  notes TEXT,                   -- NULL: the run's own
  archived INTEGER NOT NULL, updated_ns INTEGER NOT NULL
) WITHOUT ROWID
"""


class AnnotationsUnusable(ExptrackError):
    """The file was written by a newer exptrack, is damaged, or can't be written; nothing was changed."""


class AnnotationWrong(ExptrackError):
    """Such a name, tag or note can't be given."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What people changed about one run."""

    name: str | None = None
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    notes: str | None = None
    archived: bool = False
    updated_ns: int = 0

    def tags(self, own: Iterable[str]) -> tuple[str, ...]:
        """The tags of a run whose own are these, each once."""
        kept = (tag for tag in own if tag not in self.tags_removed)
        return tuple(dict.fromkeys((*kept, *self.tags_added)))

    def over(self, run: RunInfo) -> RunInfo:
        """The run as it is called now."""
        return replace(
            run,
            name=run.name if self.name is None else self.name,
            tags=self.tags(run.tags),
            notes=run.notes if self.notes is None else self.notes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change to one run's annotation; None leaves a thing as it is."""

    name: str | None = None
    """"" gives the run its own name back."""
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    notes: str | None = None
    archived: bool | None = None

    def __post_init__(self) -> None:
        _check_text("a name", self.name, MOST_NAME_CHARS)
        _check_text("notes", self.notes, MOST_NOTES_CHARS)
        for tag in (*self.add_tags, *self.remove_tags):
            if not tag.strip():
                raise AnnotationWrong("a tag can't be empty")
            _check_text("a tag", tag, MOST_NAME_CHARS)

    def apply(self, before: Annotation, now_ns: int) -> Annotation:
        """The annotation after the edit.

        Raises:
            AnnotationWrong: the run would have too many tags.
        """
        added = tuple(dict.fromkeys((*before.tags_added, *self.add_tags)))
        removed = {*before.tags_removed, *self.remove_tags} - set(self.add_tags)
        added = tuple(tag for tag in added if tag not in removed)
        if len(added) > MOST_TAGS:
            raise AnnotationWrong(f"a run can have {MOST_TAGS} further tags at most")
        return Annotation(
            name=before.name if self.name is None else self.name.strip() or None,
            tags_added=added,
            tags_removed=tuple(sorted(removed)),
            notes=before.notes if self.notes is None else self.notes,
            archived=before.archived if self.archived is None else self.archived,
            updated_ns=now_ns,
        )


def read_annotations(path: Path) -> Mapping[str, Annotation]:
    """All annotations, by run; empty when there is no file.

    Raises:
        AnnotationsUnusable: it can't be read, or a newer exptrack wrote it.
    """
    if not path.exists():
        return {}
    try:
        with closing(_open_reading(path)) as connection:
            if _version(connection, path) == 0:
                return {}
            rows = connection.execute(f"SELECT {_COLUMNS} FROM annotations").fetchall()
            return {row[0]: _annotation(row) for row in rows}
    except (sqlite3.DatabaseError, ValueError) as error:
        raise AnnotationsUnusable(f"{path} can't be read: {error}") from error


def edit_annotation(path: Path, run_id: str, edit: Edit, now_ns: int) -> Annotation:
    """Change what is written about a run, durably; what stands there now.

    Raises:
        AnnotationsUnusable: it can't be written, or a newer exptrack wrote it; nothing was changed.
        AnnotationWrong: the run would have too many tags.
    """
    try:
        with closing(_open_writing(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            query = f"SELECT {_COLUMNS} FROM annotations WHERE run = ?"
            row = connection.execute(query, (run_id,)).fetchone()
            after = edit.apply(Annotation() if row is None else _annotation(row), now_ns)
            connection.execute(
                f"INSERT OR REPLACE INTO annotations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                _row(run_id, after),
            )
            connection.execute("COMMIT")
            return after
    except (sqlite3.DatabaseError, OSError, ValueError) as error:
        raise AnnotationsUnusable(f"{path} can't be written: {error}") from error


def forget_annotation(path: Path, run_id: str) -> None:
    """Remove what is written about a run that is gone for good.

    Raises:
        AnnotationsUnusable: it can't be written, or a newer exptrack wrote it; nothing was changed.
    """
    if not path.exists():
        return
    try:
        with closing(_open_writing(path)) as connection:
            connection.execute("DELETE FROM annotations WHERE run = ?", (run_id,))
    except (sqlite3.DatabaseError, OSError) as error:
        raise AnnotationsUnusable(f"{path} can't be written: {error}") from error


def _check_text(what: str, text: str | None, most: int) -> None:
    if text is None:
        return
    if len(text) > most:
        raise AnnotationWrong(f"{what} can have {most:,} characters at most, not {len(text):,}")
    if "\0" in text or not _is_text(text):
        raise AnnotationWrong(f"{what} has characters that no file can hold")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _annotation(row: tuple[str, str | None, str, str, str | None, int, int]) -> Annotation:
    _, name, added, removed, notes, archived, updated_ns = row
    return Annotation(
        name,
        tuple(json.loads(added)),
        tuple(json.loads(removed)),
        notes,
        bool(archived),
        updated_ns,
    )


def _row(run_id: str, annotation: Annotation) -> tuple[str | int | None, ...]:
    return (
        run_id,
        annotation.name,
        json.dumps(annotation.tags_added),
        json.dumps(annotation.tags_removed),
        annotation.notes,
        int(annotation.archived),
        annotation.updated_ns,
    )


def _open_reading(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # a home that can't be written: without WAL's helper files, as an unchanging file
        return _connect(path, "ro&immutable=1")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _open_writing(path: Path) -> sqlite3.Connection:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o600))
    connection = _connect(path, "rw")
    try:
        if _version(connection, path) == 0:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise AnnotationsUnusable(
            f"{path} has version {version}, newest known is {SCHEMA_VERSION};"
            " install a newer exptrack to open it (nothing was changed)"
        )
    return version
