"""How far a sink is with one run, durable in one small file: replaced whole, never changed in place."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from exptrack_daemon.files import Files, replace_durably
from exptrack_daemon.journal.position import START, Position

CURSOR_VERSION = 1


@dataclass(slots=True)
class Cursor:
    """Everything a new worker needs to go on exactly where the last one was."""

    position: Position = START
    """Read the journal from here …"""
    delivered: int = 0
    """… and hand over what stands in frame number `delivered` or later."""
    rows: int = 0
    """Rows of the run that are safe in this sink (or set aside as dead letters)."""
    replay: dict[str, Any] | None = None
    """`Replay.dump()` at `position`."""
    state: dict[str, Any] | None = None
    """What the sink asked to be handed back."""
    dead_letters: int = 0
    """Frames' worth of entries that this sink refused for good."""
    ended: bool = False
    """The run's last `close` was delivered."""
    status: str = "live"
    """`live`, `unavailable` or `broken`."""
    reason: str = ""
    updated_ns: int = 0
    version: int = CURSOR_VERSION
    extra: dict[str, Any] = field(default_factory=dict)
    check: int = 0
    """Crc32 of the cursor's JSON with 0 in this place, so that damage cannot pass for another position."""


def load_cursor(files: Files, path: Path) -> Cursor:
    """The cursor at `path`; a fresh one when there is none.

    A cursor that cannot be read also gives a fresh one: the sink is then rebuilt from the journal's
    beginning, which an exactly-once sink does without a trace.
    """
    try:
        cursor = msgspec.json.decode(files.read(path), type=Cursor)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Cursor()
    is_ours = cursor.version <= CURSOR_VERSION and cursor.check == _check(cursor)
    return cursor if is_ours else Cursor()


def save_cursor(files: Files, path: Path, cursor: Cursor) -> None:
    """Replace the cursor durably.

    Raises:
        OSError: it could not be; the old cursor stands, or the new one.
    """
    if not files.exists(path):
        files.make_directory(path.parent)
        files.sync_directory(
            path.parent.parent
        )  # else a power cut takes the folder, and the cursor
    checked = replace(cursor, check=_check(cursor))
    replace_durably(files, path, msgspec.json.encode(checked))


def _check(cursor: Cursor) -> int:
    return zlib.crc32(msgspec.json.encode(replace(cursor, check=0)))
