"""Typed, bounded decoding of bodies, and the encoding of whole frames.

Strategy: nothing is decoded generically. Each body is decoded once into the types of `records`, which
carry the limits; msgspec refuses wrong types, unknown fields, ext types and trailing bytes, and builds
nothing for what it refuses. Rows are first tried as flat ones (the plain case, at full speed), then as
nested.

Decoders hold no state between calls, so that one bad body cannot hurt the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TypeAlias

import msgpack
import msgspec

from exptrack_proto.errors import Malformed
from exptrack_proto.frame import Frame, Kind, encode_header, rows_prefix
from exptrack_proto.limits import (
    FRAME_TARGET_BYTES,
    MAX_ITEM_BYTES,
    MAX_JOINED_CHARS,
    MAX_ROWS_PER_FRAME,
)
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
_ITEM_MARKS = frozenset((_ROW_MARK, *range(0x81, 0x90), 0xDE, 0xDF))
_NO_ITEM = b"\xc0"
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
    _check_prefix(frame)
    try:
        return _flat_rows.decode(frame.body)
    except msgspec.ValidationError:
        flattener = _Flattener()
        return [flattener.flat(row) for row in _nested_rows.decode(frame.body)]


def _check_prefix(frame: Frame) -> None:
    """The number of rows, before anything is built."""
    prefix = rows_prefix(frame.items)
    if frame.body[: len(prefix)] != prefix:
        raise Malformed(f"rows frame does not begin with an array of {frame.items}")


class _Flattener:
    """Turns mappings in the values of a frame's rows into names joined by `/`.

    Of a repeated name the last counts. A short body can say very many long names, so their sum is bounded.
    """

    def __init__(self) -> None:
        self._room = MAX_JOINED_CHARS

    def flat(self, row: NestedRow) -> Row:
        flat: dict[str, Scalar] = {}
        room = self._room
        self._into(flat, "", row.values)
        if self._room < 0:
            self._room = room  # the other rows of the frame may still fit
            raise Malformed(f"names of more than {MAX_JOINED_CHARS} characters when joined")
        return Row(row.step, row.time_ns, flat)

    def _into(self, flat: dict[str, Scalar], prefix: str, values: Mapping[str, object]) -> None:
        if prefix:
            self._room -= len(prefix) * len(values)
        if self._room < 0:
            return
        for name, value in values.items():
            if isinstance(value, dict):
                self._into(flat, f"{prefix}{name}/", value)
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
    """Walk packed items that stand one after another, as in a ring segment.

    Raises:
        Malformed: at the first byte that begins no whole item: an array of 3 or a map.
    """
    for value in _values(data):
        if value[0] not in _ITEM_MARKS:
            raise Malformed(f"a msgpack value of type {value[0]:#x} is no item")
        yield value


def _values(data: bytes | memoryview) -> Iterator[memoryview]:
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
    """Gather packed items, the first of which is number `first`, into frames; rows together.

    An item that is too large for any frame is replaced by nil: `decode` refuses it, and nothing else.
    """
    rows: list[bytes | memoryview] = []
    size = 0
    for sequence, given in enumerate(items, first):
        item = given if len(given) <= MAX_ITEM_BYTES else _NO_ITEM
        is_a_row = is_row(given)
        full = size + len(item) > FRAME_TARGET_BYTES or len(rows) == MAX_ROWS_PER_FRAME
        if rows and (full or not is_a_row):
            yield _rows_frame(run_id, stream, sequence - len(rows), rows)
            rows, size = [], 0
        if is_a_row:
            rows.append(item)
            size += len(item)
        else:
            yield encode_header(_kind_of(item), run_id, stream, sequence, 1) + item
    if rows:
        yield _rows_frame(run_id, stream, first + len(items) - len(rows), rows)


def _rows_frame(run_id: str, stream: bytes, first: int, rows: list[bytes | memoryview]) -> bytes:
    header = encode_header(Kind.ROWS, run_id, stream, first, len(rows))
    return header + rows_prefix(len(rows)) + b"".join(rows)


def _kind_of(packed: bytes | memoryview) -> Kind:
    try:
        return _kind(_any_item.decode(packed))
    except _DAMAGE:
        return Kind.EVENT  # `decode` will say what is wrong with it


def salvage(frame: Frame) -> Iterator[tuple[int, memoryview, Malformed | None]]:
    """Go through a rows frame that `decode` refused: sequence, bytes and fault of each row.

    Raises:
        Malformed: the rows cannot even be told apart; nothing of the frame can be kept.
    """
    _check_prefix(frame)
    packed = _values(frame.body[len(rows_prefix(frame.items)) :])
    rows = list(islice(packed, frame.items + 1))
    if len(rows) != frame.items:
        raise Malformed(f"rows frame says {frame.items} rows and holds others")
    flattener = _Flattener()
    for sequence, row in enumerate(rows, frame.first):
        try:
            flattener.flat(_one_nested_row.decode(row))
        except Malformed as error:
            yield sequence, row, error
        except _DAMAGE as error:
            yield sequence, row, Malformed(str(error))
        else:
            yield sequence, row, None
