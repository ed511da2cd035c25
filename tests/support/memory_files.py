"""A file system in memory that keeps apart what is seen and what is durable, with failures on order.

`crash` gives what a power cut leaves: synced bytes and synced names for sure, of the others any part. A sync
that failed once leaves pages that count as clean but never reached the disk; asking the same file to sync
again is then a bug of the caller, and raises `SyncedAgain`.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512
RUNS = Path("/home/runs")
"""The one folder that is there from the start, durably."""


class SyncedAgain(AssertionError):
    """A file was synced after a sync of it had failed."""


@dataclass(eq=False)
class Inode:
    """One file: its bytes as seen, how many are durable, and which never will be."""

    data: bytearray = field(default_factory=bytearray)
    durable: int = 0
    lost: set[int] = field(default_factory=set)
    """Sectors that a failed sync dropped."""
    has_failed: bool = False

    def after_crash(self, random: Random) -> Inode:
        """Any part of what was not synced is gone: cut off, or zeros in its place."""
        data = bytearray(self.data)
        kept = random.randint(self.durable, len(data))
        del data[kept:]
        for start in range(self.durable - self.durable % SECTOR, kept, SECTOR):
            begin = max(start, self.durable)
            if start // SECTOR in self.lost or random.random() < 0.3:
                data[begin : start + SECTOR] = bytes(min(start + SECTOR, kept) - begin)
        return Inode(data, len(data))


@dataclass
class Failure:
    """What goes wrong at one call: an error, and how much of an append is done all the same."""

    error: int = errno.EIO
    part: float = 0.5


class MemoryFiles:
    """Implements `exptrack_daemon.files.Files`."""

    def __init__(self) -> None:
        self.seen: dict[Path, Inode] = {}
        self.durable: dict[Path, Inode] = {}
        self.folders: set[Path] = {RUNS, *RUNS.parents}
        self.durable_folders = set(self.folders)
        self.calls: Counter[str] = Counter()
        self.log: list[str] = []
        """Every call that changes something, in order."""
        self.failures: dict[int, Failure] = {}
        """By number of the changing call, from 0."""
        self.failing: dict[str, Failure] = {}
        """By kind of call: from now on each of them fails."""
        self.is_dead = False

    def fail_next(self, act: str, failure: Failure | None = None) -> None:
        """The next call of this kind fails, once."""
        self._once = (act, failure or Failure())

    _once: tuple[str, Failure] | None = None

    # --- Files ----------------------------------------------------------------------------------

    def open_append(self, path: Path) -> MemoryFile:
        if path not in self.seen:
            if path.parent not in self.folders:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self._change("open")
            self.seen[path] = Inode()
        return MemoryFile(self, self.seen[path])

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        self.calls["read"] += 1
        data = self._inode(path).data
        return bytes(data[offset:] if size < 0 else data[offset : offset + size])

    def size(self, path: Path) -> int:
        return len(self._inode(path).data)

    def exists(self, path: Path) -> bool:
        return path in self.seen or path in self.folders

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self.seen if path.parent == directory)

    def make_directory(self, path: Path) -> None:
        self._change("make_directory")
        self.folders |= {path, *path.parents}

    def rename(self, source: Path, target: Path) -> None:
        self._change("rename")
        self.seen[target] = self.seen.pop(source)

    def remove(self, path: Path) -> None:
        if path in self.seen:
            self._change("remove")
            del self.seen[path]

    def sync_directory(self, path: Path) -> None:
        self._change("sync_directory")
        inside = {name: inode for name, inode in self.seen.items() if name.parent == path}
        others = {name: inode for name, inode in self.durable.items() if name.parent != path}
        self.durable = others | inside
        self.durable_folders |= {folder for folder in self.folders if folder.parent == path}

    # --- what happens to it ---------------------------------------------------------------------

    def crash(self, random: Random) -> MemoryFiles:
        """The file system after a power cut."""
        after = MemoryFiles()
        after.folders = {
            folder
            for folder in self.folders
            if all(
                part in self.durable_folders or random.random() < 0.5
                for part in (folder, *folder.parents)
            )
        }
        after.folders = {f for f in after.folders if set(f.parents) <= after.folders}
        after.durable_folders = set(after.folders)
        for path in {*self.seen, *self.durable}:
            choices = [self.durable.get(path)]
            if self.seen.get(path) is not choices[0]:
                choices.append(self.seen.get(path))
            inode = random.choice(choices)
            if inode is not None and path.parent in after.folders:
                after.seen[path] = inode.after_crash(random)
        after.durable = dict(after.seen)
        self.is_dead = True
        return after

    def _inode(self, path: Path) -> Inode:
        try:
            return self.seen[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def _change(self, act: str) -> Failure | None:
        """Count a call that changes something; raise if it is one that fails."""
        failure = self._failure(act)
        if failure is not None and act != "append":
            raise OSError(failure.error, os.strerror(failure.error))
        return failure

    def _failure(self, act: str) -> Failure | None:
        assert not self.is_dead, "written to after the crash"
        number = len(self.log)
        self.log.append(act)
        self.calls[act] += 1
        if self._once is not None and self._once[0] == act:
            failure, self._once = self._once[1], None
            return failure
        return self.failures.get(number) or self.failing.get(act)


class MemoryFile:
    """Implements `exptrack_daemon.files.AppendFile`."""

    def __init__(self, files: MemoryFiles, inode: Inode) -> None:
        self._files = files
        self._inode = inode
        self._is_open = True

    @property
    def size(self) -> int:
        return len(self._inode.data)

    def append(self, data: bytes | memoryview) -> None:
        assert self._is_open
        failure = self._files._change("append")
        if failure is None:
            self._inode.data += data
            return
        self._inode.data += data[: int(len(data) * failure.part)]
        raise OSError(failure.error, os.strerror(failure.error))

    def sync(self) -> None:
        assert self._is_open
        inode = self._inode
        if inode.has_failed:
            raise SyncedAgain
        try:
            self._files._change("sync")
        except OSError:
            inode.has_failed = True
            inode.lost = set(range(inode.durable // SECTOR, len(inode.data) // SECTOR + 1))
            raise
        inode.durable = len(inode.data)

    def truncate(self, size: int) -> None:
        raise AssertionError("a journal is never cut")

    def close(self) -> None:
        assert self._is_open, "closed twice"
        self._is_open = False
        self._files._change("close")
