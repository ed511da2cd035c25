"""The one door to the file system for journal, cursors, rings and catalogue.

The interface is small so that a faulty or modelled file system can stand under the same production code.
What is durable follows POSIX: bytes after `sync`, names (created, renamed, removed) after `sync_directory`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class AppendFile(Protocol):
    """A file that only grows, except for `truncate`."""

    @property
    def size(self) -> int:
        """Where the next byte will stand."""

    def append(self, data: bytes | memoryview) -> None:
        """Write all of `data` at the end. After an `OSError` the tail is unknown: seal this file."""

    def sync(self) -> None:
        """Fdatasync. After an `OSError` nothing since the last sync is safe; never retry on this file."""

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class Files(Protocol):
    def open_append(self, path: Path) -> AppendFile:
        """Open for appending; created, readable by this user only, when missing."""

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end. `FileNotFoundError` when missing."""

    def size(self, path: Path) -> int: ...

    def exists(self, path: Path) -> bool: ...

    def names(self, directory: Path) -> list[str]:
        """Sorted names in a directory; empty when it does not exist."""

    def make_directory(self, path: Path) -> None:
        """With parents, readable by this user only; no error when it exists."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomically, replacing `target`."""

    def remove(self, path: Path) -> None:
        """No error when it is missing already."""

    def sync_directory(self, path: Path) -> None: ...


class OsFiles:
    """The real file system."""

    def open_append(self, path: Path) -> AppendFile:
        return OsAppendFile(path)

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            wanted = size if size >= 0 else max(0, os.fstat(descriptor).st_size - offset)
            return _read_fully(descriptor, offset, wanted)
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def exists(self, path: Path) -> bool:
        return path.exists()

    def names(self, directory: Path) -> list[str]:
        try:
            with os.scandir(directory) as entries:
                return sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []

    def make_directory(self, path: Path) -> None:
        for folder in reversed(
            (path, *path.parents)
        ):  # `parents=True` would leave those to the umask
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class OsAppendFile:
    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._descriptor, rest)
            self._size += written
            rest = rest[written:]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._size = size

    def close(self) -> None:
        os.close(self._descriptor)


def _read_fully(descriptor: int, offset: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(descriptor, min(size, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def replace_durably(files: Files, path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a crash leaves either the old content or the new, never a mix."""
    temporary = path.with_name(path.name + ".tmp")
    files.remove(temporary)
    file = files.open_append(temporary)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    files.rename(temporary, path)
    files.sync_directory(path.parent)
