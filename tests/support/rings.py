"""Black boxes as trainers leave them: folders with a lock and segments, in shared memory or in the spool."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from exptrack_proto.codec import encode_rows
from exptrack_proto.frame import rows_prefix
from exptrack_proto.records import Item, Row, to_msgpack
from exptrack_proto.ring import (
    CELL_FIRST,
    CELL_HEAD,
    CELL_NUMBER,
    DATA_OFFSET,
    HEADER_CELLS,
    OWNER_LOCK,
    write_header,
)
from tests.support.desks import RUN, STREAM


def packed_row(step: int) -> bytes:
    return encode_rows(RUN, STREAM, 0, [Row(step, step, {"a": step})]).split(rows_prefix(1), 1)[1]


def packed(item: Item) -> bytes:
    return to_msgpack(item)


def segment_bytes(
    number: int, first: int, items: list[bytes], run: str = RUN, stream: bytes = STREAM
) -> bytearray:
    body = b"".join(items)
    data = bytearray(max(DATA_OFFSET + len(body), 4096))
    data[DATA_OFFSET : DATA_OFFSET + len(body)] = body
    cells = memoryview(data)[: HEADER_CELLS * 8].cast("Q")
    write_header(cells, run, stream)
    cells[CELL_NUMBER] = number
    cells[CELL_FIRST] = first
    cells[CELL_HEAD] = DATA_OFFSET + len(body)
    return data


def leave_segment(
    folder: Path, number: int, first: int, items: list[bytes], **names: object
) -> Path:
    """Put a segment into a stream's folder, which is made with its lock when missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / OWNER_LOCK).touch(mode=0o600)
    path = folder / f"{number:08d}.seg"
    path.write_bytes(segment_bytes(number, first, items, **names))  # type: ignore[arg-type]
    return path


class Owner:
    """A living process that holds a stream's lock (POSIX locks do not work within one process)."""

    def __init__(self, folder: Path) -> None:
        ready, told = os.pipe()
        release, self._release = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._release)
            descriptor = os.open(folder / OWNER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            os.write(told, b"x")
            os.read(release, 1)
            os._exit(0)
        os.read(ready, 1)
        for descriptor in (ready, told, release):
            os.close(descriptor)

    def die(self) -> None:
        os.close(self._release)
        os.waitpid(self.pid, 0)
