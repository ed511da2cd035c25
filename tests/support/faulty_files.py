"""The real file system, with failures on order: a full disk, a device that errs, a sync that loses bytes."""

from __future__ import annotations

import errno
from pathlib import Path

from exptrack_daemon.files import AppendFile, OsFiles


class FaultyFiles(OsFiles):
    """`fail_next("append")` makes the next append of any file write half of its bytes and raise ENOSPC."""

    def __init__(self) -> None:
        self._planned: list[str] = []
        self.opened = 0

    def fail_next(self, *acts: str) -> None:
        self._planned.extend(acts)

    def fails(self, act: str) -> bool:
        if self._planned and self._planned[0] == act:
            self._planned.pop(0)
            return True
        return False

    def open_append(self, path: Path) -> AppendFile:
        self.opened += 1
        return _FaultyFile(self, super().open_append(path), path)


class _FaultyFile:
    def __init__(self, plan: FaultyFiles, file: AppendFile, path: Path) -> None:
        self._plan, self._file, self._path = plan, file, path
        self._synced = file.size

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, data: bytes | memoryview) -> None:
        if self._plan.fails("append"):
            self._file.append(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        self._file.append(data)

    def sync(self) -> None:
        if self._plan.fails("sync"):
            # What a failed writeback leaves: pages marked clean whose bytes never reached the disk.
            lost = bytes(self._file.size - self._synced)
            with self._path.open("r+b") as raw:
                raw.seek(self._synced)
                raw.write(lost)
            raise OSError(errno.EIO, "Input/output error")
        self._file.sync()
        self._synced = self._file.size

    def truncate(self, size: int) -> None:
        if self._plan.fails("truncate"):
            raise OSError(errno.EIO, "Input/output error")
        self._file.truncate(size)

    def close(self) -> None:
        self._plan.opened -= 1
        self._file.close()
