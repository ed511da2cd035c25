"""Entries that a sink refused for good: kept beside the run, for a person to look at and to try again.

A sink that refuses everything must not fill the disk: beyond a number of them they are only counted. The
journal holds them in any case.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from exptrack_daemon.files import Files, replace_durably
from exptrack_daemon.sinks.base import Batch, Rows

MOST_KEPT = 1_000


def set_aside(files: Files, folder: Path, batch: Batch, reason: str) -> Path:
    """Write the batch's only entry to a file of its own; the same entry gives the same file.

    Returns:
        The file; the folder when that is full.
    """
    entry = batch.entries[0]
    sequence = entry.first if isinstance(entry, Rows) else entry.sequence
    body = entry.rows if isinstance(entry, Rows) else entry.item
    data = msgspec.msgpack.encode(
        {
            "reason": reason,
            "run": batch.run.run_id,
            "stream": entry.stream.stream_id,
            "sequence": sequence,
            "body": body,
        }
    )
    digest = hashlib.sha256(f"{entry.stream.stream_id}/{sequence}".encode()).hexdigest()[:8]
    path = folder / f"{sequence:012d}-{digest}.msgpack"
    if len(files.names(folder)) >= MOST_KEPT:
        return folder
    files.make_directory(folder)
    replace_durably(files, path, data)
    return path


def forget(files: Files, folder: Path) -> None:
    """The sink is going to be handed everything again: what it refuses then is kept then."""
    for name in files.names(folder):
        files.remove(folder / name)
