"""Decoding and packing; the golden bytes are in test_vectors.py, hostile ones in the fuzz tests."""

import msgpack
import pytest

from exptrack_proto.codec import (
    decode,
    encode_item,
    encode_rows,
    is_row,
    pack_frames,
    salvage,
    split_items,
)
from exptrack_proto.errors import Malformed
from exptrack_proto.frame import Kind, encode_header, parse, rows_prefix
from exptrack_proto.limits import FRAME_TARGET_BYTES, MAX_FRAME_BYTES, MAX_ITEM_BYTES
from exptrack_proto.records import Close, Note, Open, Row, to_msgpack

STREAM = bytes(range(16))
ROW = msgpack.packb((0, 0, {"a": 1.0}))
NOTE = to_msgpack(Note(time_ns=0, text="n"))
OPEN = to_msgpack(Open(time_ns=0, project="p", name="n"))
CLOSE = to_msgpack(Close(time_ns=0, status="finished"))


def rows_frame(*rows, first=0):
    header = encode_header(Kind.ROWS, "run", STREAM, first, len(rows))
    return parse(header + rows_prefix(len(rows)) + b"".join(rows))


def packed(*items, first=0):
    return [parse(data) for data in pack_frames("run", STREAM, first, list(map(memoryview, items)))]


def test_rows_are_packed_together_and_other_items_alone():
    frames = packed(OPEN, ROW, ROW, NOTE, ROW, CLOSE, first=3)
    assert [(f.kind, f.first, f.items) for f in frames] == [
        (Kind.OPEN, 3, 1),
        (Kind.ROWS, 4, 2),
        (Kind.EVENT, 6, 1),
        (Kind.ROWS, 7, 1),
        (Kind.CLOSE, 8, 1),
    ]
    assert all(decode(frame) for frame in frames)


def test_a_frame_of_rows_has_about_its_target_size():
    wide = msgpack.packb((0, 0, {"t": "x" * 100_000}))
    assert [frame.items for frame in packed(*[wide] * 5)] == [2, 2, 1]
    assert len(rows_frame(wide, wide).body) <= FRAME_TARGET_BYTES


def test_a_frame_of_rows_has_at_most_65536():
    small = msgpack.packb((0, 0, {}))
    assert [frame.items for frame in packed(*[small] * 65_537)] == [65_536, 1]


@pytest.mark.parametrize("start", [b"\x93\x00\x00\x81\xa1t", b"\x81\xa4kind"])
def test_an_item_too_large_for_any_frame_is_refused_alone(start):
    def item(size):
        return (
            start
            + b"\xc6"
            + (size - len(start) - 5).to_bytes(4, "big")
            + bytes(size - len(start) - 5)
        )

    largest, larger = item(MAX_ITEM_BYTES), item(MAX_ITEM_BYTES + 1)
    frames = packed(ROW, largest, larger, ROW)
    assert sum(frame.items for frame in frames) == 4
    fitting = [frame for frame in frames if len(frame.body) > FRAME_TARGET_BYTES]
    assert len(fitting) == 1
    assert not any(larger[-100:] in bytes(frame.body) for frame in frames if frame not in fitting)
    refused = [
        fault
        for frame in frames
        if frame.kind is Kind.ROWS
        for *_, fault in salvage(frame)
        if fault
    ]
    unread = [frame for frame in frames if frame.kind is Kind.EVENT]
    for frame in unread:
        with pytest.raises(Malformed):
            decode(frame)
    assert len(refused) + len(unread) == 2
    assert all(
        len(encode_header(f.kind, "r" * 64, STREAM, 0, 1)) + len(f.body) <= MAX_FRAME_BYTES
        for f in frames
    )


def test_an_item_that_says_nothing_known_travels_as_an_event():
    (frame,) = packed(b"\x81\xa4kind\xa1?")
    assert frame.kind is Kind.EVENT
    with pytest.raises(Malformed, match="event frame"):
        decode(frame)


def test_items_are_told_apart():
    assert [bytes(item) for item in split_items(ROW + NOTE + ROW)] == [ROW, NOTE, ROW]
    assert [is_row(item) for item in split_items(ROW + NOTE)] == [True, False]
    assert list(split_items(b"")) == []


@pytest.mark.parametrize(
    "junk", [b"\x00", b"\x01", b"\xc0", b"\x80", b"\x92\x00\x00", b"\xa1a", b"\xd4\x00\x00"]
)
def test_what_is_no_row_and_no_map_ends_the_items(junk):
    walker = split_items(ROW + junk * 3 + ROW)
    assert next(walker) == ROW
    with pytest.raises(Malformed, match="no item"):
        next(walker)


@pytest.mark.parametrize("cut", range(1, len(ROW)))
def test_a_cut_item_ends_the_items(cut):
    walker = split_items(ROW + ROW[:cut])
    assert next(walker) == ROW
    with pytest.raises(Malformed, match="no whole item at byte 15"):
        next(walker)


@pytest.mark.parametrize("body", [b"\x91" * 2_000, b"\xdd\xff\xff\xff\xff", b"\xc1"])
def test_hostile_nesting_ends_the_items(body):
    with pytest.raises(Malformed):
        list(split_items(body))


def test_salvage_keeps_the_good_rows_and_names_the_faults():
    bad = msgpack.packb((0.5, 0, {}))
    kept = list(salvage(rows_frame(ROW, bad, ROW, first=7)))
    assert [(sequence, row, fault is None) for sequence, row, fault in kept] == [
        (7, ROW, True),
        (8, bad, False),
        (9, ROW, True),
    ]
    assert "int" in str(kept[1][2])


@pytest.mark.parametrize("rows", [[ROW], [ROW, ROW, ROW], [ROW, b"\xc1"], [ROW, ROW[:-1]]])
def test_rows_that_cannot_be_counted_are_lost_together(rows):
    header = encode_header(Kind.ROWS, "run", STREAM, 0, 2)
    with pytest.raises(Malformed):
        list(salvage(parse(header + rows_prefix(2) + b"".join(rows))))
    with pytest.raises(Malformed, match="array of 2"):
        list(salvage(parse(header + rows_prefix(3) + ROW * 3)))


def long_names(letters, leaves):
    return msgpack.packb((0, 0, {letters * 1_024: {f"{n:x}": None for n in range(leaves)}}))


def test_joined_names_are_bounded_in_a_frame_and_salvage_agrees():
    """4,000 names of more than 1,024 characters are half of what a frame may say."""
    frame = rows_frame(
        long_names("a", 4_000), long_names("b", 4_000), ROW, long_names("c", 4_000), ROW
    )
    with pytest.raises(Malformed, match="when joined"):
        decode(frame)
    kept = list(salvage(frame))
    assert [fault is None for *_, fault in kept] == [True, True, True, False, True]
    good = [row for _, row, fault in kept if fault is None]
    assert sum(len(decode(parse(data))) for data in pack_frames("run", STREAM, 0, good)) == 4


def test_of_a_name_that_is_said_twice_the_last_value_counts():
    both = msgpack.packb((0, 0, {"a/b": 1.0, "a": {"b": 2.0}}))
    assert decode(rows_frame(both)) == [Row(0, 0, {"a/b": 2.0})]


def test_a_mapping_that_is_empty_says_nothing():
    assert decode(rows_frame(msgpack.packb((0, 0, {"a": {}, "b": 1})))) == [Row(0, 0, {"b": 1})]


def test_one_body_that_was_refused_does_not_hurt_the_next():
    with pytest.raises(Malformed):
        decode(rows_frame(b"\xc1"))
    assert decode(rows_frame(ROW)) == [Row(0, 0, {"a": 1.0})]


def test_items_are_encoded_with_their_kind():
    for item, kind in (
        (Open(time_ns=0, project="p", name="n"), Kind.OPEN),
        (Note(time_ns=0, text=""), Kind.EVENT),
        (Close(time_ns=0, status="failed"), Kind.CLOSE),
    ):
        assert parse(encode_item("run", STREAM, 4, item))[:5] == (kind, "run", STREAM, 4, 1)
    assert parse(encode_rows("run", STREAM, 4, [Row(0, 0, {})] * 3)).end == 7
