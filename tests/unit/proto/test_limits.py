"""The bounds of the format fit into each other."""

from exptrack_proto import limits
from exptrack_proto.frame import HEADER_BYTES, rows_prefix


def test_the_largest_item_fits_into_a_frame_with_the_longest_run_id():
    header = HEADER_BYTES + limits.MAX_RUN_ID_CHARS + len(rows_prefix(1))
    assert header + limits.MAX_ITEM_BYTES <= limits.MAX_FRAME_BYTES


def test_rows_and_chunks_fit_into_an_item():
    around_a_chunk = 64
    assert limits.MAX_ROW_BYTES <= limits.MAX_ITEM_BYTES
    assert limits.MAX_CHUNK_BYTES + around_a_chunk <= limits.MAX_ITEM_BYTES
    assert limits.FRAME_TARGET_BYTES <= limits.MAX_FRAME_BYTES
