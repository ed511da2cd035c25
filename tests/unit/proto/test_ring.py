"""Ring segments; their golden bytes are in test_vectors.py."""

from exptrack_proto.ring import (
    CELL_FIRST,
    CELL_HEAD,
    CELL_MAGIC,
    DATA_OFFSET,
    HEADER_CELLS,
    read_segment,
    write_header,
)

STREAM = bytes(range(16))


def segment(size=512, run_id="run"):
    data = bytearray(size)
    cells = memoryview(data)[: HEADER_CELLS * 8].cast("Q")
    write_header(cells, run_id, STREAM)
    return data, cells


def test_a_fresh_segment_is_empty():
    data, _ = segment()
    assert read_segment(data) is None


def test_items_before_the_head_are_read_and_none_after_it():
    data, cells = segment(run_id="r" * 64)
    cells[CELL_FIRST] = 9
    data[DATA_OFFSET : DATA_OFFSET + 6] = b"abcdef"
    cells[CELL_HEAD] = DATA_OFFSET + 4
    found = read_segment(bytes(data))
    assert (found.run_id, found.stream, found.first) == ("r" * 64, STREAM, 9)
    assert found.items == b"abcd"


def test_a_header_that_was_not_finished_is_an_empty_segment():
    data, cells = segment()
    cells[CELL_HEAD] = 300
    cells[CELL_MAGIC] = 0
    assert read_segment(data) is None
