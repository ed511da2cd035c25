"""Black boxes as trainers leave them: folders with a lock and segments, in shared memory or in the spool."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from zlib import crc32

from exptrack_proto.codec import encode_rows
from exptrack_proto.frame import rows_prefix
from exptrack_proto.records import Item, Row, to_msgpack
from exptrack_proto.ring import (
    CELL_FIRST,
    CELL_HEAD,
    CELL_MAGIC,
    CELL_NUMBER,
    CELL_RUN_LENGTH,
    CELL_VERSION,
    DATA_OFFSET,
    HEAD_COPIES,
    MAGIC,
    OWNER_LOCK,
    RUN_AT,
    SEAL_BYTES,
    STREAM_AT,
    Seal,
    cells_of,
    copied_header,
    number_segment,
    pack_seal,
    seal_offset,
    table_offset,
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
    """A ring's segment without seals, as a trainer leaves it that was killed soon after."""
    body = b"".join(items)
    size = 4096
    while table_offset(size) < DATA_OFFSET + len(body):
        size += 4096
    data = bytearray(size)
    memory = memoryview(data)
    data[DATA_OFFSET : DATA_OFFSET + len(body)] = body
    write_header(memory, run, stream)
    number_segment(memory, number, first)
    cells_of(memory)[CELL_HEAD] = (DATA_OFFSET + len(body)) * HEAD_COPIES
    return data


def sealed_segment_bytes(
    number: int,
    first: int,
    chunks: list[list[bytes]],
    tail: list[bytes],
    *,
    is_copy: bool = False,
    run: str = RUN,
    stream: bytes = STREAM,
) -> bytearray:
    """A segment in which each chunk of items has a seal, and the tail has none; or its copy in the spool."""
    items = [item for chunk in chunks for item in chunk] + tail
    data = segment_bytes(number, first, items, run, stream)
    memory = memoryview(data)
    table, at, sequence = table_offset(len(data)), DATA_OFFSET, first
    for index, chunk in enumerate(chunks):
        body = b"".join(chunk)
        seal = Seal(at, at + len(body), sequence, len(chunk), crc32(body))
        place = seal_offset(table, index)
        data[place : place + SEAL_BYTES] = pack_seal(seal, stream, number)
        at, sequence = seal.stop, seal.end
    if is_copy:
        head = bytes(data[CELL_HEAD * 8 : CELL_HEAD * 8 + 8])
        header = copied_header(memory)
        data[table : table + DATA_OFFSET] = data[:DATA_OFFSET] = header
        data[CELL_HEAD * 8 : CELL_HEAD * 8 + 8] = head
        del memory, data[seal_offset(table, len(chunks)) :]
    return data


def old_segment_bytes(
    number: int, first: int, items: bytes, run: str = RUN, stream: bytes = STREAM, spare: int = 40
) -> bytearray:
    """A segment of version 1, which has no seals."""
    data = bytearray(DATA_OFFSET) + items + bytes(spare)
    with cells_of(memoryview(data)) as cells:
        cells[CELL_MAGIC], cells[CELL_VERSION] = MAGIC, 1
        cells[CELL_NUMBER], cells[CELL_FIRST] = number, first
        cells[CELL_HEAD] = DATA_OFFSET + len(items)
        cells[CELL_RUN_LENGTH] = len(run)
    data[STREAM_AT : STREAM_AT + 16] = stream
    data[RUN_AT : RUN_AT + len(run)] = run.encode()
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
