"""The layout of ring segments, as the agent writes it; what is read of them: test_ring_reader.py."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from exptrack_proto import ring
from exptrack_proto.ring import (
    CELL_HEAD,
    CELL_MAGIC,
    CELL_TABLE,
    DATA_OFFSET,
    HEAD_COPIES,
    MAX_SEGMENT_BYTES,
    SEAL_BYTES,
    SEALED_SPAN_BYTES,
    Seal,
    cells_of,
    copied_header,
    head_of,
    header_check,
    number_segment,
    pack_seal,
    table_offset,
    unpack_seal,
    write_header,
)
from exptrack_proto.ring_reader import read_segment

STREAM = bytes(range(16))


def fresh(size: int = 4_096) -> memoryview:
    memory = memoryview(bytearray(size))
    write_header(memory, "run", STREAM)
    return memory


def test_a_fresh_segment_has_two_headers_and_nothing_in_it():
    memory = fresh()
    table = cells_of(memory)[CELL_TABLE]
    assert memory[:DATA_OFFSET] == memory[table : table + DATA_OFFSET]
    assert cells_of(memory)[CELL_HEAD] == 0
    assert not any(memory[DATA_OFFSET:table])


def test_a_kill_at_any_store_into_a_fresh_segment_leaves_one_that_counts_as_empty():
    """As many are: spares that no item ever came into."""
    memory = memoryview(bytearray(4_096))
    seen: set[bytes] = {bytes(memory)}

    def look(frame: FrameType, event: str, _: object) -> object:
        seen.add(bytes(memory))
        return look if frame.f_code.co_filename == ring.__file__ else None

    sys.settrace(look)
    try:
        write_header(memory, "run", STREAM)
        number_segment(memory, 7, 90)
    finally:
        sys.settrace(None)
    assert len(seen) > 20
    assert {read_segment(data) for data in (*seen, bytes(memory))} == {None}


def test_a_segment_larger_than_its_head_can_say_is_none():
    with pytest.raises(ValueError, match="at most 2,097,152 bytes"):
        fresh(MAX_SEGMENT_BYTES + 256)


@pytest.mark.parametrize("size", [4_096, 8_192, 1 << 20, MAX_SEGMENT_BYTES])
def test_the_table_has_room_for_the_seals_of_a_whole_segment(size):
    table = table_offset(size)
    assert table % 256 == 0
    step = min(SEALED_SPAN_BYTES, table // 4)
    assert (size - table - DATA_OFFSET) // SEAL_BYTES >= (table - DATA_OFFSET) // step + 1


def test_any_one_bit_of_a_head_is_outvoted():
    for head in (0, DATA_OFFSET, 1_234_567, MAX_SEGMENT_BYTES - 1):
        cell = head * HEAD_COPIES
        assert cell == head | head << 21 | head << 42
        assert {head_of(cell ^ 1 << bit) for bit in range(63)} | {head_of(cell)} == {head}
    assert head_of(1 | 2 << 21 | 3 << 42) is None


def test_every_bit_of_a_header_but_the_head_is_checked():
    header = copied_header(fresh())
    checked = header_check(header)
    for place in [*range(32), *range(40, 144)]:
        hurt = bytearray(header)
        hurt[place] ^= 1
        assert header_check(hurt) != checked


def test_numbering_a_segment_keeps_both_headers_whole():
    memory = fresh()
    number_segment(memory, 7, 90)
    for offset in (0, cells_of(memory)[CELL_TABLE]):
        cells = cells_of(memory, offset)
        assert (cells[2], cells[3]) == (7, 90)
        assert cells[18] == header_check(memory[offset:])
        assert cells[CELL_MAGIC]


def test_a_seal_is_good_for_one_segment_and_any_bit_of_it_counts():
    seal = Seal(256, 700, 12, 3, 0)
    packed = pack_seal(seal, STREAM, 4)
    assert len(packed) == SEAL_BYTES
    assert unpack_seal(packed, STREAM, 4) == seal
    assert unpack_seal(packed, STREAM, 5) is None
    assert unpack_seal(packed, bytes(16), 4) is None
    for bit in range(SEAL_BYTES * 8):
        hurt = bytearray(packed)
        hurt[bit // 8] ^= 1 << bit % 8
        assert unpack_seal(hurt, STREAM, 4) is None
    assert seal.end == 15
