"""Frames of very many rows come apart without a change of any row; whatever else comes stays whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.intake.pieces import pieces
from exptrack_proto.codec import decode, encode_item, encode_rows
from exptrack_proto.frame import Kind, encode_header, parse, rows_prefix
from exptrack_proto.records import Note, Row
from tests.support.desks import RUN, STREAM


def frame_of(count, first=1, values=None):
    return encode_rows(
        RUN, STREAM, first, [Row(n, n, values or {"a": n}) for n in range(first, first + count)]
    )


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**40))
def test_pieces_hold_the_same_rows_under_the_same_sequences(count, most, first):
    data = frame_of(count, first)
    found = pieces(parse(data), data, most)
    assert [row for piece, _ in found for row in decode(piece)] == decode(parse(data))
    ends = [first, *(piece.end for piece, _ in found)]
    assert [piece.first for piece, _ in found] == ends[:-1]
    assert ends[-1] == first + count
    assert all(piece.items <= most for piece, _ in found)
    assert [parse(data) for _, data in found] == [piece for piece, _ in found]


def test_a_frame_of_few_rows_is_the_very_bytes_that_came():
    data = frame_of(5)
    [(frame, same)] = pieces(parse(data), data, 5)
    assert same is data
    assert frame == parse(data)


def test_nested_rows_come_apart_too():
    data = frame_of(9, values={"a": {"b": {"c": 1.0}}})
    found = pieces(parse(data), data, 4)
    assert [len(decode(piece)) for piece, _ in found] == [3, 3, 3]


@pytest.mark.parametrize(
    "body",
    [
        rows_prefix(9) + b"\x93",
        rows_prefix(8) + b"\xc0" * 8,
        rows_prefix(9) + b"\xc0" * 10,
        rows_prefix(9) + b"\x91" * 5_000,
        b"",
    ],
    ids=["torn", "other count", "trailing", "deep", "empty"],
)
def test_what_cannot_be_told_apart_stays_whole(body):
    data = encode_header(Kind.ROWS, RUN, STREAM, 1, 9) + body
    assert pieces(parse(data), data, 2) == [(parse(data), data)]


def test_one_bad_row_stays_where_it_is():
    good = frame_of(6)
    data = good.replace(b"\x93\x03\x03", b"\x93\xc0\x03")
    assert data != good
    found = pieces(parse(data), data, 2)
    assert b"".join(bytes(piece.body)[5:] for piece, _ in found) == bytes(parse(data).body)[5:]


def test_a_frame_of_few_long_rows_comes_apart_too_as_far_as_rows_go():
    data = frame_of(5, values={"a": "x" * 100})
    found = pieces(parse(data), data, most_bytes=len(data) // 3)
    assert len(found) == 3
    assert [row for piece, _ in found for row in decode(piece)] == decode(parse(data))
    one = frame_of(1, values={"a": "x" * 100})
    assert len(pieces(parse(one), one, most_bytes=10)) == 1


def test_other_kinds_stay_as_they_are():
    data = encode_item(RUN, STREAM, 3, Note(time_ns=1, text="x"))
    assert pieces(parse(data), data, 1, 1) == [(parse(data), data)]
