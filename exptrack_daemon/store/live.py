"""The journal's tail after the parts, gathered once and then only what is new. In memory, bounded."""

from __future__ import annotations

from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.position import Position
from exptrack_daemon.store.columns import Gathering
from exptrack_daemon.store.journals import Walk, walk_all
from exptrack_daemon.store.manifest import Manifest
from exptrack_daemon.store.pieces import MemoryPart

MOST_POINTS = 1 << 22
"""Of one run's tail; about 40 bytes each."""


class TailTooLong(Exception):
    """There is more than may be kept in memory."""


def walk_at(files: Files, home: Home, run_id: str, manifest: Manifest) -> Walk:
    """A walk over the journal from where the manifest says that the parts may end."""
    walk = walk_all(files, home, run_id)
    walk.position = manifest.position
    walk.replay.streams = {bytes.fromhex(s.stream_id): s for s in manifest.streams}
    walk.replay.closed = {bytes.fromhex(stream) for stream in manifest.closed}
    return walk


def gathering_at(manifest: Manifest, chunk_points: int) -> Gathering:
    """A gathering that passes over what the parts hold."""
    gathering = Gathering(chunk_points, row=manifest.row, ordinal=manifest.points)
    gathering.streams = {stream.stream_id: stream for stream in manifest.streams}
    gathering.closed = set(manifest.closed)
    return gathering


class LiveTail:
    """The points of one run that are in no part yet."""

    def __init__(
        self, files: Files, home: Home, run_id: str, manifest: Manifest, chunk_points: int
    ) -> None:
        self._walk = walk_at(files, home, run_id, manifest)
        self._gathering = gathering_at(manifest, manifest.chunk_points or chunk_points)
        self._start = manifest.points
        self._sealed: list[tuple[int, MemoryPart]] = []
        """With the ordinal at which each ends."""
        self._open: MemoryPart | None = None

    def __len__(self) -> int:
        return self._gathering.ordinal - self._start + self._gathering.waiting

    @property
    def position(self) -> Position:
        """How far the journal was read."""
        return self._walk.position

    @property
    def flaws(self) -> list[str]:
        return self._walk.flaws

    def refresh(self, most_points: int = MOST_POINTS) -> None:
        """Take what is new in the journal.

        Raises:
            TailTooLong: it is more than `most_points`.
            JournalNewer, OSError: the journal cannot be read.
        """
        for _, entry in self._walk.entries():
            if entry is None:
                continue
            self._open = None
            for chunk in self._gathering.take(entry):
                if chunk.points is not None:
                    end = int(chunk.points.ordinals.max()) + 1
                    self._sealed.append((end, MemoryPart(chunk.points)))
            if len(self) > most_points:
                raise TailTooLong(f"more than {most_points} points are in no part yet")

    def drop_before(self, ordinal: int) -> bool:
        """Let go of the points that are in parts now; False when a part ends between two borders."""
        ends = [self._start, *(end for end, _ in self._sealed)]
        if ordinal not in ends:
            return False
        self._sealed = [(end, part) for end, part in self._sealed if end > ordinal]
        self._start = ordinal
        return True

    def parts(self) -> list[MemoryPart]:
        """The points in order, sorted piece by piece."""
        if self._open is None:
            self._open = MemoryPart(self._gathering.open_points())
        return [*(part for _, part in self._sealed), self._open]
