"""The bytes of a segment."""

from __future__ import annotations

import msgspec
import pytest

from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.journal import segment
from exptrack_daemon.journal.segment import (
    BLOCK_BYTES,
    JOURNAL_VERSION,
    Damage,
    FrameRecord,
    Mark,
    Record,
    SegmentHeader,
    fragment,
    frame_record,
    header_record,
    interpret,
    mark_record,
    salt_of,
    scan,
)
from tests.support.journals import rows_frame

SALT = salt_of("run", 1)
HEADER = SegmentHeader("run", 1, 0, 0, 0, 0, 5, [(b"s" * 16, 3, True)])


def written(*payloads: bytes, offset: int = 0) -> bytes:
    data = b""
    for payload in payloads:
        data += fragment(payload, offset + len(data), SALT)
    return data


def payloads(data: bytes, offset: int = 0) -> list[bytes | str]:
    return [
        bytes(found.payload) if isinstance(found, Record) else found.reason
        for found in scan(data, offset, SALT)
    ]


SIZES = [0, 1, 7, BLOCK_BYTES - 14, BLOCK_BYTES - 7, BLOCK_BYTES - 6, BLOCK_BYTES, 100_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "offset", [0, 1, *range(BLOCK_BYTES - 16, BLOCK_BYTES), 3 * BLOCK_BYTES - 7]
)
def test_a_record_of_any_size_comes_back_from_any_place(size, offset):
    data = written(b"x" * size, b"next", offset=offset)
    first, second = scan(data, offset, SALT)
    assert (bytes(first.payload), bytes(second.payload)) == (b"x" * size, b"next")
    assert second.end == offset + len(data)
    assert 0 <= second.offset - first.end < 7


def test_padding_before_a_block_is_zeros():
    data = written(b"x" * (BLOCK_BYTES - 7 - 3), b"next")
    assert data[BLOCK_BYTES - 3 : BLOCK_BYTES] == bytes(3)


def test_every_cut_gives_the_whole_records_before_it():
    data = written(b"one", b"two", b"three")
    ends = [found.end for found in scan(data, 0, SALT)]
    for size in range(len(data)):
        found = list(scan(data[:size], 0, SALT))
        assert all(isinstance(item, Record) for item in found)
        assert len(found) == sum(end <= size for end in ends)


def test_a_fragment_of_another_run_segment_or_place_is_no_fragment_here():
    for salt in (salt_of("run", 2), salt_of("run2", 1)):
        assert list(scan(written(b"one"), 0, salt)) == [Damage(0, 10, "checksum")]
    assert list(scan(written(b"one"), 10, SALT)) == [Damage(10, 20, "checksum")]


@pytest.mark.parametrize("at", range(7 + 3))
def test_damage_costs_its_record_and_the_next_is_found(at):
    """In the checksum, the length, the type, or the payload."""
    data = bytearray(written(b"one", b"two", b"three"))
    data[10 + at] ^= 0xFF
    assert payloads(bytes(data))[0] == b"one"
    assert payloads(bytes(data))[2:] == [b"three"]
    damage = list(scan(bytes(data), 0, SALT))[1]
    assert (damage.offset, damage.end) == (10, 20)


def test_a_length_that_points_beyond_the_end_hides_nothing_after_it():
    data = bytearray(written(b"one", b"two", b"three"))
    data[15] = 0x7F
    assert payloads(bytes(data)) == [b"one", "fragment is cut off", b"three"]


def test_damage_in_a_record_of_many_fragments_costs_that_record():
    data = bytearray(written(b"one", b"x" * 100_000, b"three"))
    data[BLOCK_BYTES + 50] ^= 1
    first, damage, last = scan(bytes(data), 0, SALT)
    assert (first.payload, last.payload) == (b"one", b"three")
    assert (damage.offset, damage.end) == (first.end, last.offset)


def test_a_record_without_its_end_is_damage():
    whole = written(b"x" * (2 * BLOCK_BYTES))
    data = whole[:BLOCK_BYTES]
    data += fragment(b"next", len(data), SALT)
    assert payloads(data) == ["record without its end", b"next"]


def test_a_record_without_its_beginning_is_damage():
    whole = written(b"x" * (2 * BLOCK_BYTES))
    data = whole[BLOCK_BYTES:]
    data += fragment(b"next", BLOCK_BYTES + len(data), SALT)
    assert payloads(data, BLOCK_BYTES) == ["record without its beginning", b"next"]


def test_a_destroyed_block_is_passed_over():
    data = bytearray(written(b"x" * 40_000, b"y" * 40_000))
    data[:BLOCK_BYTES] = bytes(BLOCK_BYTES)
    assert payloads(bytes(data)) == ["fragment type 0", b"y" * 40_000]
    data[BLOCK_BYTES:] = bytes(len(data) - BLOCK_BYTES)
    assert list(scan(bytes(data), 0, SALT)) == [Damage(0, len(data), "fragment type 0")]


def test_a_search_in_a_block_made_to_look_like_fragments_is_given_up(monkeypatch):
    """Every third byte begins what might be a fragment of 16 KiB; the next block is read all the same."""
    junk = (b"\xff\x3f\x01" * 300)[1:801]
    data = junk + written(b"same block", b"x" * BLOCK_BYTES, offset=800)
    data += fragment(b"next", len(data), SALT)
    assert payloads(data)[1:] == [b"same block", b"x" * BLOCK_BYTES, b"next"]
    monkeypatch.setattr(segment, "_SEARCH_BYTES", 1_000_000)
    assert payloads(data)[1:] == [b"next"]


def test_a_fragments_type_is_part_of_its_checksum():
    data = bytearray(written(b"one"))
    for kind in (0, *range(2, 256)):
        data[6] = kind
        assert payloads(bytes(data)) == ["checksum" if 1 < kind < 5 else f"fragment type {kind}"]


def test_records_say_what_was_written():
    assert interpret(header_record(HEADER)) == HEADER
    assert interpret(frame_record(3, 4, b"frame")) == FrameRecord(3, 4, b"frame")
    assert interpret(mark_record(9, 3, 4)) == Mark(9, 3, 4)


def test_a_frame_record_says_how_many_rows_stand_after_it():
    for frame, rows in ((rows_frame(0, 7), 107), (b"XT\x01\x03\x01\0\0\0", 100), (b"", 100)):
        record = interpret(frame_record(0, 100, frame))
        assert record.rows_after == rows


@pytest.mark.parametrize("payload", [b"", b"?", b"F123", b"M123", b"H", b"H\x01", b"H\x01\x90"])
def test_what_no_version_wrote_says_nothing(payload):
    assert interpret(payload) is None


def test_a_newer_segment_is_refused():
    newer = bytes((ord("H"), JOURNAL_VERSION + 1)) + msgspec.msgpack.encode(["whatever"])
    with pytest.raises(JournalNewer, match="nothing was changed"):
        interpret(newer)


def test_a_header_with_fields_of_a_later_version_is_read():
    """Fields are only ever appended."""
    packed = msgspec.msgpack.encode([*msgspec.structs.astuple(HEADER), "more"])
    assert interpret(bytes((ord("H"), JOURNAL_VERSION)) + packed) == HEADER
