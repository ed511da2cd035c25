"""HOME/trash: runs that were removed, each whole, until it is restored or the trash is emptied.

    trash/NAME/removed.json    which run it was, and where its parts stood; written first
    trash/NAME/tensorboard/    its TensorBoard folder
    trash/NAME/run/            its folder below `runs`: moved last, so that a crash leaves the run in the list

NAME is the run's id, with a number when the trash holds one of that id already.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from exptrack_daemon.errors import HomeUnusable, RunNotFound
from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.home import Home, make_private
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.store.annotations import forget_annotation
from exptrack_daemon.store.catalog import CatalogDamaged, CatalogNewer, open_writing
from exptrack_daemon.store.catalog_rows import delete

_NOTE, _RUN, _BOARD = "removed.json", "run", "tensorboard"


@dataclass(frozen=True, slots=True)
class Removed:
    """One run in the trash."""

    run_id: str
    project: str
    name: str
    removed_ns: int
    board: str = ""
    """Where its TensorBoard folder stood; "" when it had none."""
    version: int = 1


def size_of(*folders: Path) -> int:
    """Bytes that the files below take; links are not followed, what vanishes meanwhile counts nothing."""
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.lstat().st_size
    return total


def throw_away(home: Home, run: RunInfo, board: Path | None, now_ns: int) -> Path:
    """Move a run's folders into the trash; where they are now.

    Raises:
        HomeUnusable: they can't be moved; what was not moved stands where it was.
    """
    make_private(home.trash)
    place = _free_place(home, run.run_id)
    removed = Removed(run.run_id, run.project, run.name, now_ns, str(board or ""))
    try:
        place.mkdir(mode=0o700)
        replace_durably(OsFiles(), place / _NOTE, json.dumps(asdict(removed)).encode())
        if board is not None:
            board.rename(place / _BOARD)
        home.run(run.run_id).rename(place / _RUN)
        OsFiles().sync_directory(home.runs)
    except OSError as error:
        raise HomeUnusable(f"run {run.run_id} can't be removed: {error}") from error
    _forget_lines(home, run.run_id)
    return place


def read_trash(home: Home) -> list[tuple[Path, Removed]]:
    """What is in the trash, newest first."""
    found = []
    for name in OsFiles().names(home.trash):
        with contextlib.suppress(OSError, ValueError, TypeError):
            place = home.trash / name
            found.append((place, Removed(**json.loads((place / _NOTE).read_bytes()))))
    return sorted(found, key=lambda pair: -pair[1].removed_ns)


def restore(home: Home, text: str) -> Removed:
    """Bring the run of this id or name back, the one that was removed last.

    Raises:
        RunNotFound: there is none in the trash.
        HomeUnusable: a run of that id is there, or it can't be moved.
    """
    fits = [pair for pair in read_trash(home) if text in (pair[1].run_id, pair[1].name)]
    if not fits:
        raise RunNotFound(f"there is no run {text!r} in the trash; `exptrack trash` lists it")
    place, removed = fits[0]
    target = home.run(removed.run_id)
    if home.journal(removed.run_id).exists():
        raise HomeUnusable(f"there is a run {removed.run_id} already; remove that one first")
    try:
        if (place / _RUN).exists():
            shutil.rmtree(target, ignore_errors=True)  # a late cursor, without a journal
            (place / _RUN).rename(target)
        board = Path(removed.board) if removed.board else None
        if board is not None and (place / _BOARD).exists() and not board.exists():
            board.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (place / _BOARD).rename(board)
        # the catalogue forgot the run: its sink is asked to feed it again
        if (cursor := home.cursor(removed.run_id, "catalog")).exists():
            cursor.with_suffix(".replay").touch(mode=0o600)
    except OSError as error:
        raise HomeUnusable(f"run {removed.run_id} can't be restored: {error}") from error
    shutil.rmtree(place, ignore_errors=True)
    return removed


def empty(home: Home, place: Path, removed: Removed) -> int:
    """Remove one run of the trash for good; the bytes it took.

    Raises:
        HomeUnusable: not all of it could be removed.
    """
    freed = size_of(place)
    try:
        shutil.rmtree(place)
    except OSError as error:
        raise HomeUnusable(f"{place} can't be removed: {error}") from error
    if not home.run(removed.run_id).exists():
        forget_annotation(home.annotations, removed.run_id)
    return freed


def _free_place(home: Home, run_id: str) -> Path:
    place, number = home.trash / run_id, 1
    while place.exists():
        number += 1
        place = home.trash / f"{run_id}~{number}"
    return place


def _forget_lines(home: Home, run_id: str) -> None:
    """Take the run out of the catalogue; where that can't be done, readers pass over its lines."""
    if not home.catalog.exists():
        return
    with contextlib.suppress(CatalogNewer, CatalogDamaged, sqlite3.DatabaseError, OSError):
        connection, _ = open_writing(home)
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            delete(connection, run_id)
            connection.execute("COMMIT")
