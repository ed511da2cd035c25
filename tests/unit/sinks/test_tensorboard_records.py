"""The record frame: TensorBoard's own reader and ours agree on it."""

import pytest

from exptrack_daemon.sinks.tensorboard.records import (
    OVERHEAD_BYTES,
    RecordDamaged,
    frame,
    unframe,
    whole_bytes,
)


def test_a_record_is_what_tensorboards_writer_writes(tmp_path):
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = tmp_path / "records"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(b"")
        writer.write(b"abc" * 100)
        writer.flush()
        assert path.read_bytes() == frame(b"") + frame(b"abc" * 100)


def test_records_come_back_with_the_offsets_after_them():
    content = frame(b"one") + frame(b"") + frame(b"three")
    ends = [3 + OVERHEAD_BYTES, 3 + 2 * OVERHEAD_BYTES, 8 + 3 * OVERHEAD_BYTES]
    assert list(unframe(content)) == list(zip(ends, [b"one", b"", b"three"], strict=True))


@pytest.mark.parametrize("cut", range(1, 5 + OVERHEAD_BYTES))
def test_a_record_that_is_not_whole_ends_the_walk(cut):
    content = frame(b"one") + frame(b"three")
    assert [data for _, data in unframe(content[:-cut])] == [b"one"]


@pytest.mark.parametrize("place", [0, 9, 12, 15])
def test_a_flipped_bit_is_found(place):
    content = bytearray(frame(b"one"))
    content[place] ^= 1
    with pytest.raises(RecordDamaged, match="byte 0"):
        list(unframe(bytes(content)))


def test_whole_bytes_end_before_damage_and_before_a_torn_tail():
    first = frame(b"one")
    assert whole_bytes(b"") == 0
    assert whole_bytes(first + frame(b"two")[:-1]) == len(first)
    assert whole_bytes(first + b"\0" * 40) == len(first)
