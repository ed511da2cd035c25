"""Typed, bounded decoding of bodies, and the encoding of whole frames.

Strategy: nothing is decoded generically. Each body is decoded once into the types of `records`, which
carry the limits; msgspec refuses wrong types, unknown fields, ext types and trailing bytes, and builds
nothing for what it refuses. Rows are first tried as flat ones (the plain case, at full speed), then as
nested.

Decoders hold no state between calls, so that one bad body cannot hurt the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgpack
import msgspec

from exptrack_proto.errors import Malformed
from exptrack_proto.frame import Frame, Kind, encode_header, rows_prefix
from exptrack_proto.limits import FRAME_TARGET_BYTES, MAX_ROWS_PER_FRAME
from exptrack_proto.records import Close, Event, Item, NestedRow, Open, Row, Scalar, to_msgpack

_flat_rows = msgspec.msgpack.Decoder(list[Row])
_nested_rows = msgspec.msgpack.Decoder(list[NestedRow])
_one_nested_row = msgspec.msgpack.Decoder(NestedRow)
_any_item: msgspec.msgpack.Decoder[Item] = msgspec.msgpack.Decoder(Item)
_DECODERS: dict[Kind, msgspec.msgpack.Decoder[Open | Close | Event]] = {
    Kind.OPEN: msgspec.msgpack.Decoder(Open),
    Kind.CLOSE: msgspec.msgpack.Decoder(Close),
    Kind.EVENT: msgspec.msgpack.Decoder(Event),
}

_ROW_MARK = 0x93  # msgpack: array of 3; every other item is a map
_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)

Body: TypeAlias = list[Row] | Open | Close | Event


def decode(frame: Frame) -> Body:
    """Decode a frame's body into typed items.

    Raises:
        Malformed: the body is not what the frame's kind and count say.
    """
    try:
        if frame.kind is Kind.ROWS:
            return _rows(frame)
        return _DECODERS[frame.kind].decode(frame.body)
    except _DAMAGE as error:
        raise Malformed(f"{frame.kind.name.lower()} frame: {error}") from error


def _rows(frame: Frame) -> list[Row]:
    try:
        rows = _flat_rows.decode(frame.body)
    except msgspec.ValidationError:
        rows = [flatten(row) for row in _nested_rows.decode(frame.body)]
    if len(rows) != frame.items:
        raise Malformed(f"rows frame says {frame.items} rows and holds {len(rows)}")
    return rows


def flatten(row: NestedRow) -> Row:
    """Turn mappings in a row's values into names joined by `/`; of a repeated name the last counts."""
    flat: dict[str, Scalar] = {}
    _flatten_into(flat, "", row.values)
    return Row(row.step, row.time_ns, flat)


def _flatten_into(flat: dict[str, Scalar], prefix: str, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _flatten_into(flat, f"{prefix}{name}/", value)
        else:
            flat[prefix + name] = value  # type: ignore[assignment]  # the decoder let only scalars through


def encode_item(run_id: str, stream: bytes, sequence: int, item: Item) -> bytes:
    """A frame that holds one open, close or event."""
    return encode_header(_kind(item), run_id, stream, sequence, 1) + to_msgpack(item)


def _kind(item: Item) -> Kind:
    if isinstance(item, Open):
        return Kind.OPEN
    return Kind.CLOSE if isinstance(item, Close) else Kind.EVENT


def encode_rows(run_id: str, stream: bytes, first: int, rows: list[Row]) -> bytes:
    """A frame that holds rows."""
    header = encode_header(Kind.ROWS, run_id, stream, first, len(rows))
    return header + rows_prefix(len(rows)) + b"".join(map(msgspec.msgpack.encode, rows))


def split_items(data: bytes | memoryview) -> Iterator[memoryview]:
    """Walk msgpack values that stand one after another, as in a ring segment.

    Raises:
        Malformed: at the first byte that begins no whole value.
    """
    walker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    walker.feed(data)
    view = memoryview(data)
    start = 0
    while start < len(data):
        try:
            walker.skip()
        except (msgpack.UnpackException, ValueError) as error:
            raise Malformed(f"no whole item at byte {start}") from error
        end = walker.tell()
        yield view[start:end]
        start = end


def is_row(item: bytes | memoryview) -> bool:
    """Whether a packed item is a row; any other is a map."""
    return item[0] == _ROW_MARK


def pack_frames(run_id: str, stream: bytes, first: int, items: list[memoryview]) -> Iterator[bytes]:
    """Gather packed items, the first of which is number `first`, into frames; rows together."""
    rows: list[memoryview] = []
    size = 0
    for sequence, item in enumerate(items, first):
        full = size + len(item) > FRAME_TARGET_BYTES or len(rows) == MAX_ROWS_PER_FRAME
        if rows and (full or not is_row(item)):
            yield _rows_frame(run_id, stream, sequence - len(rows), rows)
            rows, size = [], 0
        if is_row(item):
            rows.append(item)
            size += len(item)
        else:
            yield encode_header(_kind_of(item), run_id, stream, sequence, 1) + item
    if rows:
        yield _rows_frame(run_id, stream, first + len(items) - len(rows), rows)


def _rows_frame(run_id: str, stream: bytes, first: int, rows: list[memoryview]) -> bytes:
    header = encode_header(Kind.ROWS, run_id, stream, first, len(rows))
    return header + rows_prefix(len(rows)) + b"".join(rows)


def _kind_of(packed: memoryview) -> Kind:
    try:
        return _kind(_any_item.decode(packed))
    except _DAMAGE:
        return Kind.EVENT  # `decode` will say what is wrong with it


def salvage(frame: Frame) -> Iterator[tuple[int, memoryview, Malformed | None]]:
    """Go through a rows frame that `decode` refused: sequence, bytes and fault of each row.

    Raises:
        Malformed: the rows cannot even be told apart; nothing of the frame can be kept.
    """
    prefix = rows_prefix(frame.items)
    if bytes(frame.body[: len(prefix)]) != prefix:
        raise Malformed(f"rows frame does not begin with an array of {frame.items}")
    rows = list(split_items(frame.body[len(prefix) :]))
    if len(rows) != frame.items:
        raise Malformed(f"rows frame says {frame.items} rows and holds {len(rows)}")
    for sequence, row in enumerate(rows, frame.first):
        try:
            _one_nested_row.decode(row)
        except _DAMAGE as error:
            yield sequence, row, Malformed(str(error))
        else:
            yield sequence, row, None
