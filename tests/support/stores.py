"""A lane to the store's sink, as the daemon has it, with parts as small as a test wants them."""

from __future__ import annotations

import functools
from pathlib import Path

from exptrack_daemon.delivery.lane import Lane, LaneParts
from exptrack_daemon.files import AppendFile, Files, OsAppendFile, OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.base import SinkContext
from exptrack_daemon.sinks.store.sink import open_store
from exptrack_daemon.store.compaction import Sizes
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive

SMALL = Sizes(chunk_points=6, merge_parts=3, merged_points=60, cells_from=4)
MIDDLING = Sizes(chunk_points=40, merge_parts=4, merged_points=2_000, cells_from=10)


class UnsyncedFiles(OsFiles):
    """The real file system without waiting for the disk: a killed process loses nothing by that."""

    def open_append(self, path: Path) -> AppendFile:
        return _Unsynced(path)

    def sync_directory(self, path: Path) -> None:
        pass


class _Unsynced(OsAppendFile):
    def sync(self) -> None:
        pass


class Killed(BaseException):
    """The process is gone."""


class KilledFiles(UnsyncedFiles):
    """The real file system, until so many calls that change something were made."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def _call(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def open_append(self, path: Path) -> AppendFile:
        self._call()
        return super().open_append(path)

    def rename(self, source: Path, target: Path) -> None:
        self._call()
        super().rename(source, target)
        self._call()

    def remove(self, path: Path) -> None:
        self._call()
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self._call()
        super().sync_directory(path)


def store_lane(
    home: Path,
    run_id: str,
    clock: FakeClock,
    *,
    sizes: Sizes = SMALL,
    files: Files | None = None,
    batch_bytes: int = 4096,
) -> Lane:
    """The run's way into the store."""
    files = files or UnsyncedFiles()
    where = Home(home)
    parts = LaneParts(
        name="store",
        home=where,
        files=files,
        clock=clock,
        open_sink=functools.partial(open_store, sizes=sizes, files=files),
        batch_bytes=batch_bytes,
        batch_age_s=0.5,
    )
    context = SinkContext(where, where.run(run_id), {}, clock, lambda _pid: None)
    return Lane(run_id, parts, context)


def deliver(home: Path, run_id: str, *, sizes: Sizes = SMALL, batch_bytes: int = 4096) -> Lane:
    """Bring what stands in the journal into the store."""
    clock = FakeClock()
    lane = store_lane(home, run_id, clock, sizes=sizes, batch_bytes=batch_bytes)
    drive(lane, clock, 30.0)
    return lane


def part_files(home: Path, run_id: str) -> dict[str, bytes]:
    """The files of a run's store, by name."""
    folder = Home(home).run(run_id) / "series"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
