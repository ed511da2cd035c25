"""Bytes from anywhere: the decoders refuse them with `ProtocolError`, soon, and keep what is right."""

from __future__ import annotations

import math
import os
import time
import tracemalloc

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exptrack_proto import codec, control, frame, ring, ring_reader
from exptrack_proto.errors import Malformed, ProtocolError
from exptrack_proto.frame import Kind, encode_header, parse, rows_prefix
from exptrack_proto.limits import MAX_FRAME_BYTES
from exptrack_proto.records import Alert, Chunk, Close, Hparams, Image, Loss, Open, Row, TextItem
from exptrack_proto.records import Array as ArrayItem

EXAMPLES = 20_000 if os.environ.get("EXPTRACK_TORTURE") else 200
FUZZ = settings(max_examples=EXAMPLES, deadline=500)
STREAM = bytes(range(16))

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=True, allow_infinity=True),
    names,
)
nested = st.recursive(
    scalars, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=8
)
steps = st.integers(-(2**63), 2**63 - 1)
times = st.integers(0, 2**63 - 1)
rows = st.builds(Row, steps, times, st.dictionaries(names, scalars, max_size=6))
arrays = st.builds(
    ArrayItem,
    st.sampled_from(["u1", "f4", "f8"]),
    st.lists(st.integers(0, 9), max_size=3),
    st.integers(0, 3),
    st.binary(max_size=20),
)
items = st.one_of(
    st.builds(Open, time_ns=times, project=names, name=names, tags=st.lists(names, max_size=3)),
    st.builds(Close, time_ns=times, status=st.sampled_from(["finished", "failed", "crashed"])),
    st.builds(Chunk, data=st.binary(max_size=30)),
    st.builds(Image, name=names, step=steps, time_ns=times, pixels=arrays, caption=names),
    st.builds(TextItem, name=names, step=steps, time_ns=times, text=names),
    st.builds(Hparams, time_ns=times, hparams=names),
    st.builds(Alert, time_ns=times, title=names, text=names),
    st.builds(Loss, time_ns=times, first=st.integers(0, 9), last=st.integers(9, 99), reason=names),
)
any_values = st.recursive(
    st.one_of(
        scalars, st.binary(max_size=8), st.builds(msgpack.ExtType, st.integers(0, 9), st.binary())
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    """Equal, where NaN equals NaN and 1 is not 1.0."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


def decode_all(data: bytes) -> None:
    """Everything that a receiver does with bytes that claim to be a frame."""
    try:
        parsed = parse(data)
        codec.decode(parsed)
    except ProtocolError:
        pass
    else:
        return
    try:
        parsed = parse(data)
        kept = list(codec.salvage(parsed))
    except ProtocolError:
        return
    assert [sequence for sequence, _, _ in kept] == list(range(parsed.first, parsed.end))
    good = [row for _, row, fault in kept if fault is None]
    for packed in codec.pack_frames("r", STREAM, 0, good):
        codec.decode(parse(packed))


@FUZZ
@given(st.lists(rows, min_size=1, max_size=8), st.integers(0, 2**62))
def test_rows_come_back_as_they_were(many, first):
    got = parse(codec.encode_rows("run", STREAM, first, many))
    assert (got.first, got.end) == (first, first + len(many))
    decoded = codec.decode(got)
    assert [(r.step, r.time_ns) for r in decoded] == [(r.step, r.time_ns) for r in many]
    assert all(same(a.values, b.values) for a, b in zip(decoded, many, strict=True))


def flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    joined: dict[str, object] = {}
    for name, value in values.items():
        joined |= (
            flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
        )
    return joined


def depth(value: object) -> int:
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


@FUZZ
@given(st.dictionaries(names, nested, max_size=4), steps)
def test_nested_rows_are_flattened_and_those_deeper_than_4_refused(values, step):
    body = rows_prefix(1) + msgpack.packb((step, 0, values))
    got = parse(encode_header(Kind.ROWS, "run", STREAM, 0, 1) + body)
    if depth(values) > 4:
        with pytest.raises(Malformed):
            codec.decode(got)
        return
    (row,) = codec.decode(got)
    assert same(row.values, flat(values))


@FUZZ
@given(items)
def test_items_come_back_as_they_were(item):
    assert codec.decode(parse(codec.encode_item("run", STREAM, 3, item))) == item


@FUZZ
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    decode_all(data)
    with pytest.raises(ProtocolError):
        parse(data)


@FUZZ
@given(st.sampled_from(Kind), st.integers(0, 9), st.one_of(st.binary(max_size=80), any_values))
@example(Kind.ROWS, 3, {"kind": "open"})
def test_any_body_behind_a_right_header_is_decoded_or_refused(kind, count, body):
    packed = body if isinstance(body, bytes) else msgpack.packb(body)
    decode_all(encode_header(kind, "run", STREAM, 0, count) + packed)
    decode_all(encode_header(kind, "run", STREAM, 0, count) + rows_prefix(count) + packed * count)


@FUZZ
@given(st.one_of(items, st.lists(rows, min_size=1, max_size=4)), st.data())
def test_mutations_of_right_frames_are_decoded_or_refused(content, data):
    """Flip, cut, repeat, insert: then everything must still end well."""
    right = (
        codec.encode_rows("run", STREAM, 1, content)
        if isinstance(content, list)
        else codec.encode_item("run", STREAM, 1, content)
    )
    mutant = bytearray(right)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutant)))
        junk = data.draw(
            st.one_of(
                st.binary(max_size=5),
                st.sampled_from(
                    [
                        b"\xdd\xff\xff\xff\xff",
                        b"\xdf\xff\xff\xff\xff",
                        b"\xc6\xff\xff\xff\xff",
                        b"\x93",
                        b"\xc1",
                    ]
                ),
            )
        )
        mutant[at : at + data.draw(st.integers(0, 5))] = junk
    decode_all(bytes(mutant))


@FUZZ
@given(st.one_of(st.binary(max_size=60), any_values.map(msgpack.packb)))
def test_any_control_message_is_read_or_refused(data):
    try:
        message = control.decode_control(data)
    except ProtocolError:
        return
    assert control.decode_control(control.encode_control(message)) == message


@FUZZ
@given(st.binary(min_size=0, max_size=300), st.lists(st.integers(0, 2**64 - 1), max_size=16))
def test_any_ring_segment_is_read_or_refused(data, cells):
    header = bytearray(256)
    for cell, value in enumerate(cells):
        header[cell * 8 : cell * 8 + 8] = value.to_bytes(8, "little")
    for content in (
        data,
        bytes(header) + data,
        ring.MAGIC.to_bytes(8, "little") + bytes(header[8:]) + data,
    ):
        try:
            segment = ring_reader.read_segment(content)
            for part in segment.parts if segment is not None else ():
                list(codec.split_items(part.items))
        except ProtocolError:
            continue


def hostile_bodies() -> dict[str, bytes]:
    """Bodies of 1 MiB that would cost a careless decoder much time or memory."""
    room = MAX_FRAME_BYTES - 100
    leaf = b"".join(b"\xa3%03x\xc0" % number for number in range(4_095))
    name = b"\xda\x04\x00" + b"n" * 1_024
    deep_row = b"\x93\x00\x00\x81" + (name + b"\x81") * 2 + name + b"\xde\x0f\xff" + leaf
    deep_rows = deep_row * (room // len(deep_row))
    count = room // len(deep_row)
    return {
        "empty rows": rows_prefix(65_536) + b"\x93\x00\x00\x80" * (room // 4),
        "claims of rows": b"\xdd\xff\xff\xff\xff" + b"\x93\x00\x00\x80" * (room // 4),
        "arrays in arrays": b"\x91" * room,
        "maps in maps": rows_prefix(1) + b"\x93\x00\x00" + b"\x81\xa0" * (room // 2),
        "many maps": rows_prefix(1)
        + b"\x93\x00\x00\xdf\x00\x04\x00\x00"
        + b"\xa0\x80" * (room // 2),
        "zeros": bytes(room),
        "nils": rows_prefix(1) + b"\xc0" * (room - 5),
        "joined names": rows_prefix(count) + deep_rows,
        "tags": b"\x82\xa4kind\xa4open\xa4tags\xdd\x00\x0f\x00\x00" + b"\xa0" * 0xF0000,
        "shape": b"\x82\xa4kind\xa5graph\xa5graph\x92\xa2u1\xdd\x00\x0f\x00\x00" + bytes(0xF0000),
    }


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", hostile_bodies())
def test_no_megabyte_costs_much_time_or_memory(name, kind):
    body = hostile_bodies()[name]
    count = int.from_bytes(body[1:5], "big") if body[:1] == b"\xdd" else 1
    items = min(count, 65_536) if kind is Kind.ROWS else 1
    data = encode_header(kind, "run", STREAM, 0, items) + body
    began = time.perf_counter()
    tracemalloc.start()
    decode_all(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 << 20
    assert time.perf_counter() - began < 5


def test_names_are_counted_in_characters_not_bytes():
    for name, is_right in (("é" * 1_024, True), ("é" * 1_025, False), ("\U0001f600" * 1_024, True)):
        data = encode_header(Kind.ROWS, "run", STREAM, 0, 1) + rows_prefix(1)
        got = parse(data + msgpack.packb((0, 0, {name: 1.0})))
        if is_right:
            assert codec.decode(got)[0].values == {name: 1.0}
        else:
            with pytest.raises(Malformed):
                codec.decode(got)


def test_frames_are_what_they_were_at_the_largest_size():
    row = Row(0, 0, {"t": "x" * (MAX_FRAME_BYTES - 100)})
    data = codec.encode_rows("r" * 64, STREAM, 0, [row])
    assert len(data) > MAX_FRAME_BYTES - 100 + frame.HEADER_BYTES
    with pytest.raises(Malformed):
        parse(data)
    fits = codec.encode_rows("r" * 64, STREAM, 0, [Row(0, 0, {"t": "x" * (MAX_FRAME_BYTES - 200)})])
    assert codec.decode(parse(fits))[0].values["t"] == "x" * (MAX_FRAME_BYTES - 200)


def test_msgspec_refuses_what_it_should():
    """What the decoders rely on: no ext types, no trailing bytes, no generic values."""
    for body in (b"\xd6\xff\x00\x00\x00\x00", b"\x93\x00\x00\x80\x00"):
        with pytest.raises(msgspec.DecodeError):
            msgspec.msgpack.decode(body, type=Row)
