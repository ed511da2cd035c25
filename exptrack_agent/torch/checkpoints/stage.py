"""A stage: one file of shared memory that holds one whole state, for a process that outlives the trainer.

    0       number of the format
    8       mark: 0 free, 1 filling, 2 staged, 3 done
    16      number of the save
    24, 32  where the order (JSON) begins, and its length
    4096    storages, each at a multiple of 64; then the order

The mark is one aligned 8-byte store, made after all that it promises: a trainer may be killed at any
instruction, and what is marked staged is whole. Memory is written as such only once it is allocated (a
sparse file on full shared memory would end the trainer with SIGBUS), and touched once by whoever makes it
ahead, since fresh pages cost many times the copy.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import torch

FORMAT = 1
HEADER_BYTES = 4096
_ALIGN = 64
_FORMAT, _MARK, _NUMBER, _ORDER_AT, _ORDER_BYTES = range(5)


class Mark(IntEnum):
    """What a stage holds."""

    FREE = 0
    FILLING = 1
    STAGED = 2
    DONE = 3


class Places(NamedTuple):
    """Where each storage stands in a stage, and where the last one ends."""

    starts: list[int]
    end: int


def places_of(sizes: Sequence[int]) -> Places:
    """Lay storages out, one after the other."""
    starts, end = [], HEADER_BYTES
    for size in sizes:
        starts.append(end)
        end += -(-size // _ALIGN) * _ALIGN
    return Places(starts, end)


class Stage:
    """The trainer's side of a stage. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.before_removal: Callable[[], object] | None = None
        """What has to be undone before its memory goes, such as a device's hold on it."""
        self._memory: mmap.mmap | None = None
        self._cells: memoryview | None = None
        self._address = 0
        self._file = -1
        """Its file, while it is not allocated and so must not be written as memory."""

    def make_room(self, size: int, *, touch: bool = False) -> None:
        """Have at least `size` bytes; what it held is lost.

        Args:
            size: in bytes.
            touch: pay for allocation and first use of each page here. Else the first state is written through
                the file, which is the quickest way into fresh memory.

        Raises:
            OSError: there is no room.
        """
        if size > self.size:
            self._make(size)
        elif self.is_allocated:
            return
        else:
            self.allocate()
        if touch:
            self.allocate()
            ctypes.memset(self._address + HEADER_BYTES, 0, self.size - HEADER_BYTES)

    def _make(self, size: int) -> None:
        self.remove()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.path, flags, 0o600)
        try:
            os.posix_fallocate(self._file, 0, HEADER_BYTES)
            os.ftruncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)
        except BaseException:
            self.remove()
            raise
        self.size = size
        self._cells = memoryview(self._memory)[:HEADER_BYTES].cast("Q")
        self._cells[_FORMAT] = FORMAT
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    @property
    def is_allocated(self) -> bool:
        """Whether it is written as memory."""
        return self._file < 0

    def allocate(self) -> None:
        """Have all of it allocated: from now on it is written as memory.

        Raises:
            OSError: there is no room.
        """
        if self._file < 0:
            return
        os.posix_fallocate(self._file, 0, self.size)
        os.close(self._file)
        self._file = -1

    @property
    def mark(self) -> Mark:
        """What it holds now."""
        return Mark(self._cells[_MARK]) if self._cells is not None else Mark.FREE

    @mark.setter
    def mark(self, mark: Mark) -> None:
        assert self._cells is not None
        self._cells[_MARK] = mark

    def copy_in(self, storage: Any, start: int) -> None:
        """Copy a storage on the CPU. Lets other Python threads run meanwhile.

        Raises:
            OSError: there is no room.
        """
        self._put(start, storage.data_ptr(), storage.nbytes())

    def _put(self, start: int, source: Any, size: int) -> None:
        if self._file < 0:
            ctypes.memmove(self._address + start, source, size)
            return
        address = source if isinstance(source, int) else ctypes.addressof(source)
        data = memoryview((ctypes.c_char * size).from_address(address))
        while data:
            written = os.pwrite(self._file, data, start)
            data, start = data[written:], start + written

    def tensor(self, start: int, size: int) -> Any:
        """Bytes of the stage, for copies from a device."""
        assert self._memory is not None
        return torch.frombuffer(self._memory, dtype=torch.uint8, count=size, offset=start)

    @property
    def address(self) -> int:
        """Where it is in memory."""
        return self._address

    def seal(self, number: int, order: bytes, at: int) -> None:
        """Write the order; from then on the stage is whole, whatever happens to this process."""
        assert self._cells is not None
        self._put(at, ctypes.create_string_buffer(order, len(order)), len(order))
        self._cells[_NUMBER] = number
        self._cells[_ORDER_AT] = at
        self._cells[_ORDER_BYTES] = len(order)
        self._cells[_MARK] = Mark.STAGED

    def remove(self) -> None:
        """Give the memory back; views that are still about keep theirs."""
        if self.before_removal is not None:
            self.before_removal()
            self.before_removal = None
        if self._file >= 0:
            os.close(self._file)
        self.size, self._address, self._file = 0, 0, -1
        self._cells = self._memory = None
        self.path.unlink(missing_ok=True)


class Staged(NamedTuple):
    """A stage as the writer finds it."""

    number: int
    order: dict[str, Any]
    memory: mmap.mmap
    path: Path

    def storages(self, sizes: Sequence[int]) -> list[Any]:
        """Torch storages over the staged bytes; each has a buffer of its own, so nothing else is written."""
        return [
            _storage(self.memory, start, size)
            for start, size in zip(places_of(sizes).starts, sizes, strict=True)
        ]


def read_staged(path: Path) -> Staged | None:
    """What a stage holds, if it is whole and waits to be written."""
    try:
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # gone, or still without a size
        return None
    if len(memory) < HEADER_BYTES:
        return None
    cells = memoryview(memory)[:HEADER_BYTES].cast("Q")
    try:
        if cells[_FORMAT] != FORMAT or cells[_MARK] != Mark.STAGED:
            return None
        at, length = cells[_ORDER_AT], cells[_ORDER_BYTES]
        return Staged(cells[_NUMBER], json.loads(memory[at : at + length]), memory, path)
    finally:
        cells.release()


def set_mark(path: Path, mark: Mark) -> None:
    """Mark a stage from the writer's side."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), HEADER_BYTES) as memory:
        cells = memoryview(memory).cast("Q")
        cells[_MARK] = mark
        cells.release()


@contextlib.contextmanager
def claimed(path: Path, *, waits: bool = True) -> Iterator[None]:
    """Hold a stage: the writer while it reads it, the trainer while it takes a staged one back.

    Raises:
        BlockingIOError: the other one holds it, and `waits` is False.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _storage(memory: mmap.mmap, start: int, size: int) -> Any:
    if not size:
        return torch.empty(0, dtype=torch.uint8).untyped_storage()
    view = torch.frombuffer(memory, dtype=torch.uint8, count=size, offset=start)
    return view.untyped_storage()
