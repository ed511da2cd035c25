"""One event file on disk: grows by whole batches, and goes back exactly to where it was when one fails.

A failed fsync may have dropped the bytes since the last good one, while the next fsync would report success.
So these bytes are kept, and written again, before the file counts as safe.
"""

from __future__ import annotations

from pathlib import Path

from exptrack_daemon.files import AppendFile, Files


class Output:
    """Holds a descriptor only between a first append and the sync that makes it safe.

    Its folder must stand.
    """

    def __init__(self, files: Files, path: Path, size: int) -> None:
        self.size = size
        self._files = files
        self._path = path
        self._synced = size
        self._unsynced = bytearray()
        self._file: AppendFile | None = None
        self._is_new = size == 0
        self._is_torn = False
        """The file's tail is unknown: an append or a cut was left half done."""
        self._is_suspect = False
        """A sync failed: what was written since the last good one may be lost."""

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def unsynced_bytes(self) -> int:
        return len(self._unsynced)

    def append(self, data: bytes) -> None:
        """Write all of it, or raise `OSError` and have the file as it was, at the latest by the next call."""
        self._mend()
        size = self.size
        try:
            self._opened().append(data)
        except OSError:
            self.cut(size)
            raise
        self.size += len(data)
        self._unsynced += data

    def cut(self, size: int) -> None:
        """Go back to an earlier size. What the disk refuses now is done before the next append or sync."""
        self.size = size
        if size < self._synced:
            self._synced = size
        del self._unsynced[size - self._synced :]
        self._is_torn = True
        try:
            self._mend()
        except OSError:
            return  # still marked torn

    def sync(self) -> None:
        """Make everything safe and give the descriptor back; an `OSError` means: call again."""
        self._mend()
        if self._file is None:
            return
        self._is_suspect = True
        self._file.sync()
        self._is_suspect = False
        if self._is_new:
            self._files.sync_directory(self._path.parent)
            self._is_new = False
        self._synced = self.size
        self._unsynced.clear()
        self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> AppendFile:
        if self._file is None:
            self._file = self._files.open_append(self._path)
        return self._file

    def _mend(self) -> None:
        if self._is_suspect:
            file = self._opened()
            self._is_torn = True
            file.truncate(self._synced)
            file.append(bytes(self._unsynced))
            self._is_suspect = self._is_torn = False
        elif self._is_torn:
            self._opened().truncate(self.size)
            self._is_torn = False
