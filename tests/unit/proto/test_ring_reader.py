"""What can still be read of a segment; golden bytes are in test_vectors.py, all damages in tests/torture."""

from __future__ import annotations

import pytest

from exptrack_proto.errors import Malformed, UnsupportedVersion
from exptrack_proto.ring import (
    CELL_CHECK,
    CELL_FIRST,
    CELL_HEAD,
    CELL_MAGIC,
    CELL_NUMBER,
    CELL_RUN_LENGTH,
    CELL_TABLE,
    CELL_VERSION,
    DATA_OFFSET,
    HEAD_COPIES,
    SEAL_BYTES,
    Seal,
    cells_of,
    header_check,
    pack_seal,
    seal_offset,
)
from exptrack_proto.ring_reader import Hole, read_segment
from tests.support.desks import STREAM
from tests.support.rings import old_segment_bytes, packed_row, sealed_segment_bytes, segment_bytes

ROWS = [packed_row(step) for step in range(12)]
CHUNKS = [ROWS[:3], ROWS[3:5], ROWS[5:9]]


def sealed(*, is_copy: bool = False) -> bytearray:
    return sealed_segment_bytes(0, 40, CHUNKS, [] if is_copy else ROWS[9:], is_copy=is_copy)


def table_of(data: bytearray) -> int:
    return cells_of(memoryview(data))[CELL_TABLE]


def what(data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], list[Hole], bool]:
    found = read_segment(bytes(data))
    parts = [(part.first, bytes(part.items)) for part in found.parts]
    return parts, list(found.holes), found.is_damaged


WHOLE = [(40, b"".join(ROWS[:3])), (43, b"".join(ROWS[3:5])), (45, b"".join(ROWS[5:9]))]
TAIL = (49, b"".join(ROWS[9:]))


def test_a_ring_is_read_to_its_head_and_a_copy_as_far_as_it_is_sealed():
    assert what(sealed()) == ([*WHOLE, TAIL], [], False)
    assert what(sealed(is_copy=True)) == (WHOLE, [], False)
    assert what(segment_bytes(0, 40, ROWS)) == ([(40, b"".join(ROWS))], [], False)


def test_a_flipped_bit_costs_what_its_seal_vouches_for():
    data = sealed(is_copy=True)
    data[DATA_OFFSET + len(WHOLE[0][1]) + 4] ^= 2
    assert what(data) == ([WHOLE[0], WHOLE[2]], [Hole(43, 45)], True)


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_damaged_seal_costs_its_items_and_the_tail_that_it_hides(is_copy):
    data = sealed(is_copy=is_copy)
    data[seal_offset(table_of(data), 2) + 1] ^= 1
    assert what(data) == (WHOLE[:2], [Hole(45, 49 if is_copy else 52)], True)


def test_a_seal_that_is_gone_from_the_middle_of_a_ring_is_missed():
    data = sealed()
    place = seal_offset(table_of(data), 1)
    data[place : place + SEAL_BYTES] = bytes(SEAL_BYTES)
    assert what(data) == ([WHOLE[0], WHOLE[2], TAIL], [Hole(43, 45)], True)


def test_a_copy_may_begin_and_go_on_after_what_was_acknowledged():
    data = sealed(is_copy=True)
    place = seal_offset(table_of(data), 0)
    data[place : place + 2 * SEAL_BYTES] = bytes(2 * SEAL_BYTES)
    assert what(data) == ([WHOLE[2]], [], False)


def test_seals_that_were_written_twice_are_taken_once_and_impossible_ones_never():
    data = sealed(is_copy=True)
    data += data[seal_offset(table_of(data), 1) :]
    assert what(data) == (WHOLE, [], False)
    data += pack_seal(Seal(300, 310, 44, 1, 0), STREAM, 0)
    assert what(data)[2]
    data = sealed(is_copy=True) + pack_seal(Seal(8, 310, 44, 1, 0), STREAM, 0)
    assert what(data) == (WHOLE, [], True)


@pytest.mark.parametrize("is_copy", [False, True])
def test_either_header_will_do(is_copy):
    data = sealed(is_copy=is_copy)
    table = table_of(data)
    hurt = bytearray(data)
    hurt[table : table + DATA_OFFSET] = bytes(DATA_OFFSET)
    assert what(hurt) == (what(data)[0], [], True)
    hurt = bytearray(data)
    hurt[CELL_NUMBER * 8] ^= 1
    assert what(hurt) == (what(data)[0], [], True)
    hurt[:DATA_OFFSET] = bytes(DATA_OFFSET)
    assert what(hurt) == (WHOLE, [] if is_copy else [Hole(49, None)], True)


def test_a_segment_that_ends_in_its_second_header_is_read_and_damaged():
    data = sealed()
    assert what(data[: table_of(data) + 100]) == ([(40, b"".join(ROWS))], [], True)


def test_a_head_is_believed_when_two_of_its_copies_agree():
    data = sealed()
    cells = cells_of(memoryview(data))
    cells[CELL_HEAD] ^= 1 << 30
    assert what(data) == ([*WHOLE, TAIL], [], True)
    for unlikely in (1 | 2 << 21 | 3 << 42, (1 << 20) * HEAD_COPIES):
        cells[CELL_HEAD] = unlikely
        assert what(data) == (WHOLE, [Hole(49, None)], True)


def test_items_that_nobody_vouches_for_are_counted_if_that_can_be_done():
    data = sealed(is_copy=True)
    data[seal_offset(table_of(data), 2) + 1] ^= 1
    data[DATA_OFFSET + len(WHOLE[0][1] + WHOLE[1][1])] = 0xC1
    assert what(data) == (WHOLE[:2], [Hole(45, None)], True)


@pytest.mark.parametrize("step", ["cleared", "second header", "both numbers", "numbered"])
def test_a_kill_while_a_segment_is_used_again_leaves_an_empty_one(step):
    data = segment_bytes(0, 40, ROWS)
    cells, second = cells_of(memoryview(data)), cells_of(memoryview(data), table_of(data))
    cells[CELL_HEAD] = 0
    if step != "cleared":
        second[CELL_NUMBER] = 1
        if step != "second header":
            second[CELL_CHECK] = header_check(memoryview(data)[table_of(data) :])
            cells[CELL_NUMBER] = 1
        if step == "numbered":
            cells[CELL_CHECK] = header_check(memoryview(data))
            cells[CELL_HEAD] = DATA_OFFSET * HEAD_COPIES
    assert read_segment(bytes(data)) is None


def test_a_fresh_header_that_was_not_finished_is_an_empty_segment():
    data = old_segment_bytes(0, 40, ROWS[0])
    cells_of(memoryview(data))[CELL_MAGIC] = 0
    assert read_segment(data) is None
    assert read_segment(sealed_segment_bytes(0, 0, [], [])) is None


def test_version_1_is_read_to_its_head():
    data = old_segment_bytes(3, 40, b"".join(ROWS))
    assert what(data) == ([(40, b"".join(ROWS))], [], False)


@pytest.mark.parametrize(
    ("cell", "value", "error"),
    [
        (CELL_VERSION, 3, UnsupportedVersion),
        (CELL_VERSION, 0, Malformed),
        (CELL_RUN_LENGTH, 65, Malformed),
        (CELL_TABLE, 1 << 40, Malformed),
        (CELL_TABLE, 8, Malformed),
        (CELL_FIRST, 2**63, Malformed),
    ],
)
def test_a_header_that_is_whole_and_says_what_cannot_be_is_refused(cell, value, error):
    data = sealed()
    for offset in (table_of(data), 0):
        cells_of(memoryview(data), offset)[cell] = value
        cells_of(memoryview(data), offset)[CELL_CHECK] = header_check(memoryview(data)[offset:])
    with pytest.raises(error):
        read_segment(bytes(data))


def test_a_header_with_two_faults_is_no_segment():
    data = sealed()
    for offset in (table_of(data), 0):
        cells_of(memoryview(data), offset)[CELL_NUMBER] ^= 1
    with pytest.raises(Malformed, match="no header"):
        read_segment(bytes(data))
