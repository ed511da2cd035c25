r"""The black box on disk: segments of items that a trainer wrote and no daemon has acknowledged yet.

A stream's folder (in shared memory, or in the home) is named by the stream id in hexadecimal and holds
`owner.lock`, on which the living trainer holds a POSIX record lock, and segments `NNNNNNNN.seg`. The spool
folder of the same name holds segments that were copied to disk. Both have the same layout; numbers are
aligned little-endian u64, each published by one aligned 8-byte store (SPEC.md §4)::

    cell 0      magic "XTRING\\0\\0"
    cell 1      format version
    cell 2      number of the segment in its stream, from 0
    cell 3      sequence of the segment's first item
    cell 4      head: file offset after the last published item, three times; below 257: the segment is empty
    cell 5-6    stream id
    cell 7      length of the run id
    cell 8-15   run id, ASCII, padded with zeros
    cell 16     table: file offset of a second header, after which the seals stand
    cell 17     1: a copy, in which only what is sealed counts
    cell 18     check of all cells before it but the head
    byte 256    items, packed one after another (rows are arrays of 3, all others maps), up to the table
    table       the same header again, but its head
    table + 256 seals of 32 bytes

The writer stores an item first and the head after it, so a kill at any instruction leaves only whole items
before the head. When a segment is used again the head is cleared first, and then the seals. A *seal* says
which items stand between two offsets, and their checksum; how they are read is `ring_reader`'s business.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = int.from_bytes(b"XTRING\0\0", "little")
RING_VERSION = 2
DATA_OFFSET = 256
OWNER_LOCK = "owner.lock"
SUFFIX = ".seg"
MAX_SEGMENT_BYTES = 2 * 1024 * 1024

CELL_MAGIC = 0
CELL_VERSION = 1
CELL_NUMBER = 2
CELL_FIRST = 3
CELL_HEAD = 4
CELL_STREAM = 5
CELL_RUN_LENGTH = 7
CELL_RUN = 8
CELL_TABLE = 16
CELL_COPY = 17
CELL_CHECK = 18
HEADER_CELLS = 19
STREAM_AT = CELL_STREAM * 8
RUN_AT = CELL_RUN * 8

HEAD_BITS = 21
HEAD_COPIES = 1 | 1 << HEAD_BITS | 1 << 2 * HEAD_BITS
"""A head times this is what its cell holds: one store, and a flipped bit is outvoted.

While signals must stay out, write `head | head << 21 | head << 42`: CPython looks for them in such a product.
"""

SEAL_BYTES = 32
SEALED_SPAN_BYTES = 32 * 1024
"""The ring is sealed in steps of about this size, so its table needs no more than so many seals."""
_LEAST_SEALS = 8
_FACTS = Struct("<IIQII")
_IS_SET = 1 << 32
"""Tells a checksum that is 0 from a cell that was never written."""


class Seal(NamedTuple):
    """What stands between two offsets of a segment.

    Attributes:
        start: file offset of its first item; `stop`: after its last one.
        first: the sequence of its first item, and `items` how many they are.
        crc: CRC-32 (zlib's) of their bytes.
    """

    start: int
    stop: int
    first: int
    items: int
    crc: int

    @property
    def end(self) -> int:
        """The sequence after its last item."""
        return self.first + self.items


def table_offset(segment_bytes: int) -> int:
    """Where the table of a ring's segment of this size begins, which is also how far items may reach."""
    seals = max(_LEAST_SEALS, -(-segment_bytes // SEALED_SPAN_BYTES) // 8 * 8)
    return segment_bytes - DATA_OFFSET - seals * SEAL_BYTES


def write_header(memory: memoryview, run_id: str, stream: bytes) -> None:
    """Fill both headers of a fresh ring segment; it stays empty (head 0) until it is used.

    The memory is the whole segment, zeros, a multiple of 256 bytes.

    Raises:
        ValueError: it is larger than `MAX_SEGMENT_BYTES`, beyond which a head has no place three times.
    """
    if len(memory) > MAX_SEGMENT_BYTES:
        raise ValueError(f"a segment has at most {MAX_SEGMENT_BYTES:,} bytes, not {len(memory):,}")
    table = table_offset(len(memory))
    for offset in (0, table):
        cells = cells_of(memory, offset)
        cells[CELL_VERSION] = RING_VERSION
        for cell, text in ((CELL_STREAM, stream), (CELL_RUN, run_id.encode("ascii"))):
            for position in range(0, len(text), 8):
                cells[cell + position // 8] = int.from_bytes(
                    text[position : position + 8], "little"
                )
        cells[CELL_RUN_LENGTH] = len(run_id)
        cells[CELL_TABLE] = table
        complete = bytearray(memory[offset : offset + DATA_OFFSET])
        cells_of(memoryview(complete))[CELL_MAGIC] = MAGIC
        cells[CELL_CHECK] = header_check(memoryview(complete))
        cells[CELL_MAGIC] = MAGIC  # last: a header without it was never complete


def number_segment(memory: memoryview, number: int, first: int) -> None:
    """Say which segment of its stream this is, and its first sequence; its head is 0 meanwhile."""
    for offset in (cells_of(memory)[CELL_TABLE], 0):
        cells = cells_of(memory, offset)
        cells[CELL_NUMBER], cells[CELL_FIRST] = number, first
        cells[CELL_CHECK] = header_check(memory[offset:])


def copied_header(memory: memoryview) -> bytes:
    """A segment's header as its copy has it, with head 0."""
    header = bytearray(memory[:DATA_OFFSET])
    cells = cells_of(memoryview(header))
    cells[CELL_COPY], cells[CELL_HEAD] = 1, 0
    cells[CELL_CHECK] = header_check(memoryview(header))
    return bytes(header)


def cells_of(memory: memoryview, offset: int = 0) -> memoryview:
    """The header's numbers; an assignment to one is one 8-byte store."""
    return memory[offset : offset + HEADER_CELLS * 8].cast("Q")


def header_check(header: memoryview | bytes) -> int:
    """What cell 18 holds: the checksum of all cells before it but the head."""
    constant = crc32(header[: CELL_HEAD * 8])
    return crc32(header[STREAM_AT : CELL_CHECK * 8], constant) | _IS_SET


def head_of(cell: int) -> int | None:
    """The head that two of its three copies tell; None: all three differ."""
    mask = (1 << HEAD_BITS) - 1
    one, two, three = cell & mask, cell >> HEAD_BITS & mask, cell >> 2 * HEAD_BITS & mask
    if one in (two, three):
        return one
    return two if two == three else None


def seal_offset(table: int, index: int) -> int:
    """Where the seal of this index stands."""
    return table + DATA_OFFSET + index * SEAL_BYTES


def pack_seal(seal: Seal, stream: bytes, number: int) -> bytes:
    """A seal's 32 bytes; they say for which segment of which stream."""
    facts = _FACTS.pack(seal.start, seal.stop, seal.first, seal.items, seal.crc)
    return facts + (_seal_check(facts, stream, number)).to_bytes(8, "little")


def unpack_seal(data: bytes | memoryview, stream: bytes, number: int) -> Seal | None:
    """The seal; None when it is damaged, or another segment's."""
    facts, check = data[:24], int.from_bytes(data[24:SEAL_BYTES], "little")
    if check != _seal_check(facts, stream, number):
        return None
    return Seal(*_FACTS.unpack(facts))


def _seal_check(facts: bytes | memoryview, stream: bytes, number: int) -> int:
    return crc32(facts, crc32(stream, number & 0xFFFFFFFF)) | _IS_SET
