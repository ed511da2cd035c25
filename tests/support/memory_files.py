"""A file system in memory that keeps apart what is seen and what is durable, with failures on order.

`crash` gives what a power cut leaves: synced bytes and synced names for sure, of the others any part, in
any order: sectors of 512 bytes that hold zeros or junk, a file cut anywhere, names that are old, new, both
or gone. A sync that failed once leaves pages that count as clean but never reached the disk; asking the
same file to sync again is then a bug of the caller, and raises `SyncedAgain`.

`stop_before` ends the process at one call, as SIGKILL or the power does: that call, and every later one,
raises `Stopped`. Calls are numbered twice: `log` has those that change something, `trace` has all.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

SECTOR = 512
RUNS = Path("/home/runs")
"""The one folder that is there from the start, durably."""


class SyncedAgain(AssertionError):
    """A file was synced after a sync of it had failed."""


class Stopped(BaseException):
    """The process ends here: nothing that it does afterwards reaches the file system."""


class Luck(Protocol):
    """What decides in a power cut; `random.Random` is one."""

    def random(self) -> float:
        """Below 0.3: a sector is lost. Below 0.5: the folder is there all the same."""

    def randint(self, a: int, b: int, /) -> int:
        """How much of a file's end is there, from its durable part to all."""

    def choice(self, choices: Sequence[Any], /) -> Any:
        """Which of two states a name is in, the durable one first; or what a lost sector holds."""


class Least:
    """Nothing that is not durable is there."""

    def random(self) -> float:
        return 0.999

    def randint(self, a: int, b: int, /) -> int:
        return a

    def choice(self, choices: Sequence[Any], /) -> Any:
        return choices[0]


class Most:
    """Everything is there, as after SIGKILL, but for what a failed sync dropped."""

    def random(self) -> float:
        return 0.4

    def randint(self, a: int, b: int, /) -> int:
        return b

    def choice(self, choices: Sequence[Any], /) -> Any:
        return choices[-1]


class NamesOnly(Most):
    """All names are there and the files have their sizes, but what was not synced is zeros."""

    def random(self) -> float:
        return 0.0

    def choice(self, choices: Sequence[Any], /) -> Any:
        return choices[-1] if isinstance(choices[-1], Inode | None) else choices[0]


class BytesOnly(Most):
    """All bytes are there, under the old names."""

    def choice(self, choices: Sequence[Any], /) -> Any:
        return choices[0]


_JUNK = (bytes(SECTOR), bytes(SECTOR), Random(512).randbytes(SECTOR))
"""What a sector holds that was not written: mostly zeros, or what some older file left there."""


@dataclass(eq=False)
class Inode:
    """One file: its bytes as seen, how many are durable, and which never will be."""

    data: bytearray = field(default_factory=bytearray)
    durable: int = 0
    lost: set[int] = field(default_factory=set)
    """Sectors that a failed sync dropped."""
    has_failed: bool = False

    def after_crash(self, random: Luck) -> Inode:
        """Any part of what was not synced is gone: cut off, or zeros or junk in its place."""
        data = bytearray(self.data)
        kept = random.randint(self.durable, len(data))
        del data[kept:]
        for start in range(self.durable - self.durable % SECTOR, kept, SECTOR):
            begin = max(start, self.durable)
            if start // SECTOR in self.lost or random.random() < 0.3:
                junk = random.choice(_JUNK)
                data[begin : start + SECTOR] = junk[: min(start + SECTOR, kept) - begin]
        return Inode(data, len(data))


STOPPED = -1
"""In place of an error: the process ends in the middle of this call."""


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
        self.trace: list[str] = []
        """Every call, those that only look too, in order."""
        self.faults: dict[int, Failure] = {}
        """By number of any call, from 0."""
        self.is_dead = False
        self.is_stopped = False
        self._stop: tuple[int, float] | None = None

    def fail_next(self, act: str, failure: Failure | None = None) -> None:
        """The next call of this kind fails, once."""
        self._once = (act, failure or Failure())

    _once: tuple[str, Failure] | None = None

    def stop_before(self, number: int, part: float = 0.0) -> None:
        """End the process at the changing call of this number; an append is done in part."""
        self._stop = (number, part)

    # --- Files ----------------------------------------------------------------------------------

    def open_append(self, path: Path) -> MemoryFile:
        if path in self.seen:
            self._look("open again")
        else:
            if path.parent not in self.folders:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            self._change("open")
            self.seen[path] = Inode()
        return MemoryFile(self, self.seen[path])

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        self.calls["read"] += 1
        self._look("read")
        data = self._inode(path).data
        return bytes(data[offset:] if size < 0 else data[offset : offset + size])

    def size(self, path: Path) -> int:
        self._look("size")
        return len(self._inode(path).data)

    def exists(self, path: Path) -> bool:
        return path in self.seen or path in self.folders

    def names(self, directory: Path) -> list[str]:
        self._look("names")
        start = len(str(directory)) + 1
        return sorted([str(path)[start:] for path in _inside(self.seen, directory)])

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
        for name in _inside(self.durable, path):
            if name not in self.seen:
                del self.durable[name]
        for name in _inside(self.seen, path):
            self.durable[name] = self.seen[name]
        self.durable_folders |= {folder for folder in self.folders if folder.parent == path}

    # --- what happens to it ---------------------------------------------------------------------

    def crash(self, random: Luck) -> MemoryFiles:
        """The file system after a power cut."""
        after = MemoryFiles()
        after.folders = {
            folder
            for folder in sorted(self.folders)
            if all(
                part in self.durable_folders or random.random() < 0.5
                for part in (folder, *folder.parents)
            )
        }
        after.folders = {f for f in after.folders if set(f.parents) <= after.folders}
        after.durable_folders = set(after.folders)
        for path in sorted({*self.seen, *self.durable}):  # one order, so that a seed says all
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

    def kill(self) -> MemoryFiles:
        """The file system as the next process finds it when this one is gone; nothing is lost."""
        after = MemoryFiles()
        after.seen, after.durable = dict(self.seen), dict(self.durable)
        after.folders, after.durable_folders = set(self.folders), set(self.durable_folders)
        self.is_dead = True
        return after

    def _look(self, act: str) -> None:
        """Count a call that changes nothing; raise if it is one that fails."""
        if self.is_stopped:
            raise Stopped
        fault = self._fault(act)
        if fault is not None:
            raise OSError(fault.error, os.strerror(fault.error))

    def _fault(self, act: str) -> Failure | None:
        number = len(self.trace)
        self.trace.append(act)
        return self.faults.get(number)

    def _change(self, act: str) -> Failure | None:
        """Count a call that changes something; raise if it is one that fails."""
        failure = self._failure(act)
        if failure is not None and act != "append":
            raise OSError(failure.error, os.strerror(failure.error))
        return failure

    def _failure(self, act: str) -> Failure | None:
        assert not self.is_dead, "written to after the crash"
        if self.is_stopped:
            raise Stopped
        number = len(self.log)
        if self._stop is not None and self._stop[0] == number:
            self.is_stopped = True
            if act != "append":
                raise Stopped
            return Failure(STOPPED, self._stop[1])
        self.log.append(act)
        self.calls[act] += 1
        fault = self._fault(act)
        if fault is not None:
            return fault
        if self._once is not None and self._once[0] == act:
            failure, self._once = self._once[1], None
            return failure
        return self.failures.get(number) or self.failing.get(act)


def _inside(names: dict[Path, Inode], directory: Path) -> list[Path]:
    """The names in a directory. By their text: this is what histories spend their time on."""
    prefix = f"{directory}/"
    start = len(prefix)
    return [name for name in names if _is_inside(str(name), prefix, start)]


def _is_inside(name: str, prefix: str, start: int) -> bool:
    return name.startswith(prefix) and name.find("/", start) < 0


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
        if failure.error == STOPPED:
            raise Stopped
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
