"""Bringing in what dead trainers left: rings in shared memory, and spools on disk.

A stream is dead when nobody holds its owner's lock. Its segments are taken in order through the same desk as
frames from the wire, which leaves out what the journal already has; then the stream is closed as crashed
unless the trainer closed it, everything is committed, and only then the folders are removed. A kill anywhere
in between repeats harmlessly; so does a disk that fails, since the first failure ends the round: what is
still in the box must never be taken for lost.

A segment may stand in the ring and in the spool: of each item that copy counts which a seal vouches for. What
no copy has whole is lost, and the ledger says which; the damaged folder is kept in quarantine.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_proto.codec import decode, is_row, pack_frames, split_items
from exptrack_proto.errors import ProtocolError, UnsupportedVersion
from exptrack_proto.frame import parse
from exptrack_proto.records import Loss
from exptrack_proto.ring import OWNER_LOCK, SUFFIX
from exptrack_proto.ring_reader import Part, RingSegment, read_segment

logger = logging.getLogger(__name__)
_STREAM = re.compile(r"[0-9a-f]{32}")
_HELD_NO_MORE = "no longer held by the trainer"
_DAMAGED = "damaged in the black box"


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
    is_done: bool = False
    """All of it is in the journal, and the folders are gone; else they stay for another try."""


Commit = Callable[[], bool]
"""Makes everything taken durable; False when the disk refused some of it."""


class _NotNow(Exception):
    """This stream cannot be brought in at the moment. Everything is left as it is."""


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the stream's lock. A folder without a lock has no owner.

    When that cannot be found out, it counts as owned: a living trainer's box must never be taken away.
    """
    try:
        descriptor = os.open(folder / OWNER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
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
    """The streams whose trainers are dead.

    Names first, then owners, then folders: a trainer makes its folders one after the other, the first of
    them with the lock, so whatever was listed of a living one is seen to be owned; and once it is known to
    be dead, no further folder appears.
    """
    names = {folder.name for root in roots(home) for folder in _folders(root)}
    dead = [
        Remains(bytes.fromhex(name), _folders_of(home, name))
        for name in names
        if not any(is_owned(root / name) for root in roots(home))
    ]
    return sorted(dead, key=lambda remains: (_opened_ns(remains.folders), remains.stream))


def _opened_ns(folders: list[Path]) -> int:
    """When a stream was opened, which its oldest lock file tells: attempts of one run come in their order."""
    times = []
    for folder in folders:
        with contextlib.suppress(OSError):
            times.append((folder / OWNER_LOCK).stat().st_mtime_ns)
    return min(times, default=0)


def has_remains(home: Home, stream: str) -> bool:
    """Whether a stream, of a dead trainer or a living one, still has a folder."""
    return bool(_folders_of(home, stream))


def recover(desk: Desk, remains: Remains, commit: Commit) -> Iterator[Recovered]:
    """Bring in one stream; yields after each segment, so that living trainers are not kept waiting."""
    total = Recovered(streams=1)
    try:
        numbered, keep = _segment_paths(remains)
        for paths in numbered:
            copies = [segment for path in paths if (segment := _load(path)[0]) is not None]
            if not copies:
                continue
            remains.run_id = copies[0].run_id
            rows, is_whole = _bring_in(desk, copies, _DAMAGED if keep else _HELD_NO_MORE)
            keep = keep or not is_whole
            _succeed(commit())
            total.rows += rows
            yield total
        run_id = remains.run_id or _live_run(desk, remains.stream)
        if run_id:
            _succeed(desk.close_crashed(run_id, remains.stream))
        _succeed(commit())
        gone = [_dispose(desk.home, folder, keep=keep) for folder in remains.folders]
        total.is_done = all(gone)
    except _NotNow:
        total.is_done = False
    yield total


def _live_run(desk: Desk, stream: bytes) -> str:
    """The run of a stream whose box is empty, since all of it was acknowledged."""
    name = stream.hex()
    return next((live.run_id for live in desk.live.all() if live.stream == name), "")


def _succeed(went_well: bool) -> None:
    if not went_well:
        raise _NotNow


def _bring_in(desk: Desk, copies: list[RingSegment], reason: str) -> tuple[int, bool]:
    """Take the items that the journal does not have, of all copies of one segment.

    Returns:
        How many they are, and whether all of the segment is as it was written.
    """
    run_id, stream = copies[0].run_id, copies[0].stream
    is_whole = not any(copy.is_damaged for copy in copies)
    reason = reason if is_whole else _DAMAGED
    items: dict[int, memoryview] = {}
    for part in sorted((part for copy in copies for part in copy.parts), key=_is_sealed):
        split, is_readable = _items_of(run_id, part)
        is_whole = is_whole and is_readable
        items.update(enumerate(split, part.first))
    taken = 0
    try:
        for first, chain in _chains(items):
            taken += _take(desk, copies[0], first, chain, reason)
        for hole in sorted(hole for copy in copies for hole in copy.holes if hole.end is not None):
            _succeed(desk.resync(run_id, stream, hole.end or 0, _DAMAGED))
    except (OSError, JournalNewer) as error:
        raise _NotNow from error
    except ProtocolError as error:  # damage that looks like an item of impossible size
        logger.error("Run %s: a black box holds damaged bytes: %s.", run_id, error)  # noqa: TRY400
        return taken, False
    if any(hole.end is None for copy in copies for hole in copy.holes):
        logger.error(
            "Run %s: how many items a damaged part of a black box held is not known.", run_id
        )
    return taken, is_whole


def _is_sealed(part: Part) -> bool:
    return part.is_sealed


def _items_of(run_id: str, part: Part) -> tuple[list[memoryview], bool]:
    """The items of a part, as far as they can be told from each other, and whether that is all of it."""
    items: list[memoryview] = []
    try:
        items.extend(split_items(part.items))
    except ProtocolError as error:
        logger.error(  # noqa: TRY400  # where it is damaged says enough
            "Run %s: a black box holds damaged bytes after item %d: %s.",
            run_id,
            part.first + len(items),
            error,
        )
        return items, False
    return items, True


def _chains(items: dict[int, memoryview]) -> Iterator[tuple[int, list[memoryview]]]:
    """Items of consecutive sequences, each chain with its first."""
    chain: list[memoryview] = []
    first = 0
    for sequence in sorted(items):
        if sequence != first + len(chain):
            if chain:
                yield first, chain
            first, chain = sequence, []
        chain.append(items[sequence])
    if chain:
        yield first, chain


def _take(
    desk: Desk, segment: RingSegment, first: int, items: list[memoryview], reason: str
) -> int:
    """Take consecutive items; what is missing before them is lost."""
    run_id, stream = segment.run_id, segment.stream
    told = _first_told(segment, first, items[0])
    _succeed(desk.resync(run_id, stream, told, reason))
    known = desk.expected(run_id, stream).next
    missing = items[max(0, known - first) :]
    for data in pack_frames(run_id, stream, max(known, first), missing):
        _succeed(desk.put(parse(data), data))
    return len(missing)


def _first_told(segment: RingSegment, first: int, item: memoryview) -> int:
    """The first sequence that these items speak of: a ledger entry tells of those before itself."""
    if is_row(item):
        return first
    loss = decode(parse(next(pack_frames(segment.run_id, segment.stream, first, [item]))))
    is_gap = isinstance(loss, Loss) and loss.last + 1 == first
    return loss.first if isinstance(loss, Loss) and is_gap else first


def _segment_paths(remains: Remains) -> tuple[list[list[Path]], bool]:
    """The files of each segment (ring and copy), in order; and whether some file cannot be read."""
    numbered: dict[int, list[Path]] = {}
    has_damaged = False
    for folder in remains.folders:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            segment, is_damaged = _load(path)
            has_damaged = has_damaged or is_damaged
            if segment is not None:
                numbered.setdefault(segment.number, []).append(path)
    return [paths for _, paths in sorted(numbered.items())], has_damaged


def _load(path: Path) -> tuple[RingSegment | None, bool]:
    """A segment's content, if it has any, and whether it is damaged."""
    try:
        return read_segment(path.read_bytes()), False
    except FileNotFoundError:
        return None, False
    except UnsupportedVersion as error:
        logger.warning("The black box segment %s is left alone: %s.", path, error)
        raise _NotNow from error
    except OSError as error:
        logger.warning("The black box segment %s cannot be read now: %s.", path, error)
        raise _NotNow from error
    except ProtocolError as error:
        logger.error("The black box segment %s cannot be read: %s.", path, error)  # noqa: TRY400
        return None, True


def _folders(root: Path) -> Iterator[Path]:
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        if _STREAM.fullmatch(entry.name) and _is_folder(entry):
            yield entry


def _folders_of(home: Home, name: str) -> list[Path]:
    return [root / name for root in roots(home) if _is_folder(root / name)]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _dispose(home: Home, folder: Path, *, keep: bool) -> bool:
    """Remove a folder that was brought in, or keep it in quarantine; False when it is still there."""
    try:
        if keep:
            _keep(home, folder)
        else:
            shutil.rmtree(folder)
    except (OSError, shutil.Error) as error:
        logger.warning("%s was brought in and cannot be removed: %s.", folder, error)
    return not folder.exists()


def _keep(home: Home, folder: Path) -> None:
    home.quarantine.mkdir(mode=0o700, exist_ok=True)
    name = f"ring-{folder.name}-{folder.parent.name}"
    target = home.quarantine / name
    for number in range(2, 1000):
        if not target.exists():
            break
        target = home.quarantine / f"{name}-{number}"
    shutil.move(folder, target)
