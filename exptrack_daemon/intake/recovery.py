"""Bringing in what dead trainers left: rings in shared memory, and spools on disk.

A stream is dead when nobody holds its owner's lock. Its segments are taken in order through the same desk as
frames from the wire, which leaves out what the journal already has; then the stream is closed as crashed
unless the trainer closed it, everything is committed, and only then the folders are removed. A kill anywhere
in between repeats harmlessly.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_proto.codec import pack_frames, split_items
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import parse
from exptrack_proto.ring import OWNER_LOCK, SUFFIX, RingSegment, read_segment

logger = logging.getLogger(__name__)
_STREAM = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class Remains:
    """What a dead stream left, and where."""

    stream: bytes
    folders: list[Path] = field(default_factory=list)
    run_id: str = ""


@dataclass(slots=True)
class Recovered:
    """What recovery brought in."""

    streams: int = 0
    rows: int = 0


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the stream's lock. A folder without a lock has no owner."""
    try:
        descriptor = os.open(folder / OWNER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def roots(home: Home) -> tuple[Path, ...]:
    """Every folder that may hold streams' folders."""
    return (*home.ring_roots, home.spool)


def find_remains(home: Home) -> list[Remains]:
    """The streams whose trainers are dead."""
    found: dict[str, Remains] = {}
    owned: set[str] = set()
    for root in roots(home):
        for folder in _folders(root):
            if is_owned(folder):
                owned.add(folder.name)
            found.setdefault(folder.name, Remains(bytes.fromhex(folder.name))).folders.append(
                folder
            )
    return [remains for name, remains in sorted(found.items()) if name not in owned]


def has_remains(home: Home, stream: str) -> bool:
    """Whether a stream, of a dead trainer or a living one, still has a folder."""
    return any((root / stream).is_dir() for root in roots(home))


def recover(desk: Desk, remains: Remains) -> Iterator[Recovered]:
    """Bring in one stream; yields after each segment, so that living trainers are not kept waiting."""
    total = Recovered(streams=1)
    broken = False
    for path in _segment_paths(remains):
        segment, fault = _load(path)
        if fault:
            broken = True
            logger.error("The black box segment %s cannot be read: %s.", path, fault)
        if segment is None:
            continue
        remains.run_id = segment.run_id
        total.rows += _bring_in(desk, segment)
        desk.commit()
        yield total
    if remains.run_id:
        desk.close_crashed(remains.run_id, remains.stream)
    desk.commit()
    if desk.disk_trouble:
        return  # the folders stay; the next round tries again
    for folder in remains.folders:
        _dispose(desk.home, folder, keep=broken)
    yield total


def _bring_in(desk: Desk, segment: RingSegment) -> int:
    """Take the items that the journal does not have; returns how many."""
    items: list[memoryview] = []
    try:
        items.extend(split_items(segment.items))
    except ProtocolError as error:
        where = f"after item {len(items)}: {error}"
        logger.warning("Run %s: a black box holds damaged bytes %s.", segment.run_id, where)
    desk.resync(segment.run_id, segment.stream, segment.first)
    known = desk.expected(segment.run_id, segment.stream).next
    missing = items[max(0, known - segment.first) :]
    first = max(known, segment.first)
    for data in pack_frames(segment.run_id, segment.stream, first, missing):
        desk.put(parse(data), data)
    return len(missing)


def _segment_paths(remains: Remains) -> list[Path]:
    """The segments in order; of two with one number (ring and its copy) the one with more in it."""
    best: dict[int, tuple[int, Path]] = {}
    for folder in remains.folders:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            segment, fault = _load(path)
            if segment is None and not fault:
                continue
            number = segment.number if segment is not None else -1 - len(best)
            size = len(segment.items) if segment is not None else 0
            best[number] = max(best.get(number, (-1, path)), (size, path))
    return [path for _, (_, path) in sorted(best.items())]


def _load(path: Path) -> tuple[RingSegment | None, str]:
    try:
        return read_segment(path.read_bytes()), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ProtocolError) as error:
        return None, str(error)


def _folders(root: Path) -> Iterator[Path]:
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        if _STREAM.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            yield entry


def _dispose(home: Home, folder: Path, *, keep: bool) -> None:
    """Remove a folder that was brought in; one with damage is kept in quarantine."""
    if keep:
        target = home.quarantine / f"ring-{folder.name}-{folder.parent.name}"
        home.quarantine.mkdir(mode=0o700, exist_ok=True)
        shutil.move(folder, target)
    else:
        shutil.rmtree(folder, ignore_errors=True)
