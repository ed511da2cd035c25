"""Media that can be logged beside numbers. The raw values travel; whatever encodes them runs in the daemon.

Each has `exptrack_media`, the mark by which `log()` knows it, and turns itself into items of the wire format
(exptrack_proto.records) on the training thread, which costs one copy of its bytes. NumPy, torch, Pillow and
matplotlib are never imported here: their objects are asked through the buffer protocol,
`__array_interface__`, or their own methods.
"""

from __future__ import annotations

import array
import importlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from exptrack_agent.values import NotScalar, clean_text, cut_text, is_on_accelerator
from exptrack_proto.limits import (
    KIB,
    MAX_BLOB_BYTES,
    MAX_CHUNK_BYTES,
    MAX_FRAME_BYTES,
    MAX_JSON_BYTES,
    MAX_TEXT_CHARS,
)

Item: TypeAlias = dict[str, Any]
_ROOM_BYTES = MAX_FRAME_BYTES - 16 * KIB
"""What one item may hold beside its name and numbers."""
_CAPTION_BYTES = 64 * KIB
_COLUMN_BYTES = 512
_MOST_COLUMNS = 1_024
_MOST_DIMENSIONS = 8
_FLOATS = {"?": "b1", "e": "f2", "f": "f4", "d": "f8"}
_INTEGERS = frozenset("bBhHiIlLqQnN")
_DTYPES = frozenset(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "b1"])


class RawArray:
    """Numbers as bytes: little-endian, C order.

    Attributes:
        dtype: such as "u1" or "f4".
        shape: sizes of the dimensions.
        data: the bytes.
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, dtype: str, shape: Sequence[int], data: bytes) -> None:
        self.dtype, self.shape, self.data = dtype, list(shape), data

    @classmethod
    def of(cls, value: Any) -> RawArray:
        """From a NumPy array, CPU tensor, PIL image, array-like or (nested) list of numbers.

        Raises:
            NotScalar: it cannot be read as an array; the message says why.
        """
        if is_on_accelerator(value):
            raise NotScalar(
                "a tensor on an accelerator is not copied here; call .cpu() when it suits training"
            )
        value = _as_buffer_owner(value)
        if isinstance(value, list | tuple):
            return _from_lists(value)
        try:
            view = memoryview(value)
        except TypeError:
            return _from_interface(value)
        return _from_view(view)

    def travel(self, most_bytes: int = MAX_CHUNK_BYTES) -> tuple[list[Item], list[Any]]:
        """The chunk items that must go before, and the array as it stands in its media item.

        Args:
            most_bytes: an array of more goes before.

        Raises:
            NotScalar: it is larger than any medium may be.
        """
        if len(self.data) > MAX_BLOB_BYTES:
            raise NotScalar(
                f"{len(self.data):,} bytes are more than {MAX_BLOB_BYTES:,}; log a smaller array,"
                " or a Histogram of counts and edges"
            )
        shape = self.shape
        if len(shape) > _MOST_DIMENSIONS:
            shape = [math.prod(shape)]
        if len(self.data) <= most_bytes:
            return [], [self.dtype, shape, 0, self.data]
        pieces = range(0, len(self.data), MAX_CHUNK_BYTES)
        chunks = [{"kind": "chunk", "data": self.data[i : i + MAX_CHUNK_BYTES]} for i in pieces]
        return chunks, [self.dtype, shape, len(chunks), b""]


def _as_buffer_owner(value: Any) -> Any:
    """Torch tensors become NumPy views (bfloat16 by way of float32); all else stays."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach()
    try:
        return value.numpy()
    except TypeError:
        return value.float().numpy()


def _from_view(view: memoryview) -> RawArray:
    text = view.format.lstrip("@=<")
    dtype = _FLOATS.get(text, "")
    if text in _INTEGERS:
        dtype = f"{'u' if text.isupper() else 'i'}{view.itemsize}"
    if dtype not in _DTYPES:
        raise NotScalar(
            f"numbers of format {view.format!r} cannot be logged; convert them to float32"
        )
    return RawArray(dtype, view.shape or (), view.tobytes())


def _from_interface(value: Any) -> RawArray:
    interface = getattr(value, "__array_interface__", None)
    if interface is None and hasattr(value, "__array__"):
        return _from_view(memoryview(value.__array__()))
    data = interface.get("data") if isinstance(interface, Mapping) else None
    if not isinstance(interface, Mapping) or not isinstance(data, bytes):
        raise NotScalar(
            f"{type(value).__name__} is no array; give a NumPy array, a tensor or a list of numbers"
        )
    dtype = interface["typestr"].lstrip("<|=")
    return RawArray(dtype, interface["shape"], data)


def _from_lists(values: Sequence[Any]) -> RawArray:
    if values and hasattr(values[0], "__array__") and not isinstance(values[0], list | tuple):
        return _from_lists([_tolist(value) for value in values])
    shape: list[int] = []
    level: Any = values
    while isinstance(level, list | tuple):
        shape.append(len(level))
        level = level[0] if level else None
    flat: Iterable[Any] = values
    for _ in shape[1:]:
        flat = [number for inner in flat for number in inner]
    try:
        numbers = array.array("d", flat)
    except (TypeError, OverflowError) as error:
        raise NotScalar("a list of anything but numbers cannot be logged as an array") from error
    if len(numbers) != math.prod(shape):
        raise NotScalar("the inner lists have different lengths")
    return RawArray("f8", shape, numbers.tobytes())


def _tolist(value: Any) -> Any:
    return value.detach().tolist() if hasattr(value, "detach") else value.tolist()


class Image:
    """An image.

    Args:
        data: pixels `[height, width]` or `[height, width, channels]` with 1, 3 or 4 channels (a tensor of
            `[channels, height, width]` with 1, 3 or 4 channels is turned): uint8 0…255, bool, or floats
            0…1. Or a PIL image, PNG bytes, or the path of a PNG file.
        caption: shown below it where the backend can.
    """

    exptrack_media = True

    def __init__(self, data: Any, caption: str = "") -> None:
        self.data = data
        self.caption = caption

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire items of this image."""
        png = _png_bytes(self.data)
        pixels = RawArray("u1", [len(png)], png) if png is not None else _pixels(self.data)
        chunks, raw = pixels.travel()
        item = {"kind": "image", "name": name, "step": step, "time_ns": time_ns, "pixels": raw}
        if png is not None:
            item["format"] = "png"
        if self.caption:
            item["caption"] = cut_text(str(self.caption), _CAPTION_BYTES)
        return [*chunks, item]


def _png_bytes(data: Any) -> bytes | None:
    if isinstance(data, str | os.PathLike):
        try:
            data = Path(data).read_bytes()
        except OSError as error:
            raise NotScalar(f"the image file cannot be read: {error}") from error
    if not isinstance(data, bytes | bytearray):
        return None
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise NotScalar("bytes are taken as a PNG file, and these do not begin like one")
    return bytes(data)


def _pixels(data: Any) -> RawArray:
    is_tensor = hasattr(data, "detach")
    shape = tuple(getattr(data, "shape", ()))
    if len(shape) == 3 and shape[0] in (1, 3, 4) and (is_tensor or shape[2] not in (1, 3, 4)):
        data = data.permute(1, 2, 0).contiguous() if is_tensor else data.transpose(1, 2, 0)
    pixels = RawArray.of(data)
    plain = len(pixels.shape) == 2 or (len(pixels.shape) == 3 and pixels.shape[2] in (1, 3, 4))
    if not plain or 0 in pixels.shape:
        raise NotScalar(
            f"an image has the shape [height, width] or [height, width, 1, 3 or 4], not {pixels.shape}"
        )
    return pixels


class Histogram:
    """A distribution.

    Args:
        values: numbers of any shape; the daemon bins them. Non-finite ones are counted apart.
        np_histogram: instead, `(counts [n], edges [n + 1])` as `numpy.histogram` returns them.
    """

    exptrack_media = True

    def __init__(self, values: Any = None, *, np_histogram: tuple[Any, Any] | None = None) -> None:
        if (values is None) == (np_histogram is None):
            raise ValueError("Histogram takes values, or np_histogram=(counts, edges)")
        self.values = values
        self.np_histogram = np_histogram

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire items of this histogram."""
        item: Item = {"kind": "histogram", "name": name, "step": step, "time_ns": time_ns}
        if self.np_histogram is None:
            chunks, item["values"] = RawArray.of(self.values).travel()
            return [*chunks, item]
        counts, edges = (RawArray.of(part) for part in self.np_histogram)
        if len(counts.shape) != 1 or edges.shape != [counts.shape[0] + 1]:
            raise NotScalar(f"n counts need n + 1 edges, not {counts.shape} and {edges.shape}")
        first, item["counts"] = counts.travel(MAX_CHUNK_BYTES // 2)  # both stand in one item
        second, item["edges"] = edges.travel(MAX_CHUNK_BYTES // 2)
        return [*first, *second, item]


class Text:
    """A text at a step; Markdown where the backend shows it. Longer than 262,144 characters is cut."""

    exptrack_media = True

    def __init__(self, text: object) -> None:
        self.text = clean_text(str(text))

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire item of this text."""
        text = self.text
        if len(text) > MAX_TEXT_CHARS or len(text.encode()) > _ROOM_BYTES:
            note = f"\n… cut: {len(text):,} characters in all"
            text = cut_text(text[: MAX_TEXT_CHARS - len(note)], _ROOM_BYTES - 2 * len(note)) + note
        return [{"kind": "text", "name": name, "step": step, "time_ns": time_ns, "text": text}]


class Figure:
    """A matplotlib figure, drawn here (matplotlib's Agg, some 30 to 100 ms) and encoded in the daemon."""

    exptrack_media = True

    def __init__(self, figure: Any, caption: str = "") -> None:
        self.figure = figure
        self.caption = caption

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire items of this picture."""
        chunks, raw = self._draw().travel()
        item = {
            "kind": "image",
            "name": name,
            "step": step,
            "time_ns": time_ns,
            "pixels": raw,
            "caption": cut_text(str(self.caption), _CAPTION_BYTES),
            "figure": True,
        }
        return [*chunks, item]

    def _draw(self) -> RawArray:
        if not hasattr(self.figure, "set_canvas"):
            raise NotScalar(f"Figure takes a matplotlib figure, not {type(self.figure).__name__}")
        agg = importlib.import_module("matplotlib.backends.backend_agg")
        shown = self.figure.canvas
        try:
            canvas = agg.FigureCanvasAgg(self.figure)
            canvas.draw()
            return _from_view(memoryview(canvas.buffer_rgba()))
        finally:
            self.figure.set_canvas(shown)


class Table:
    """Rows and columns.

    Args:
        data: rows (a list of lists), a mapping of column to values, or a pandas data frame.
        columns: names of the columns, when `data` does not bring them.

    Cells are numbers, texts, bools or None; anything else becomes its `str`. Rows that do not fit in
    768 KiB are left out, and a last row says how many.
    """

    exptrack_media = True

    def __init__(self, data: Any = (), columns: Sequence[str] | None = None) -> None:
        if hasattr(data, "columns") and hasattr(data, "itertuples"):
            columns = columns or [str(column) for column in data.columns]
            data = list(data.itertuples(index=False, name=None))
        elif isinstance(data, Mapping):
            columns = columns or [str(column) for column in data]
            data = list(zip(*data.values(), strict=True))
        self.rows = [list(row) for row in data]
        width = len(self.rows[0]) if self.rows else 0
        self.columns = [str(column) for column in columns or range(width)]
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(
                f"every row of a Table needs {len(self.columns)} cells, as there are columns"
            )

    def add_data(self, *cells: Any) -> None:
        """Append one row.

        Raises:
            ValueError: it has not as many cells as there are columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"this Table has {len(self.columns)} columns, not {len(cells)}")
        self.rows.append(list(cells))

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire item of this table."""
        if len(self.columns) > _MOST_COLUMNS:
            raise NotScalar(
                f"a table has at most {_MOST_COLUMNS} columns, not {len(self.columns):,}"
            )
        columns = [cut_text(column, _COLUMN_BYTES) for column in self.columns]
        texts: list[str] = []
        room = min(MAX_JSON_BYTES, _ROOM_BYTES - sum(len(column.encode()) for column in columns))
        room -= 4_096
        for row in self.rows:
            text = json.dumps([_cell(cell) for cell in row])
            room -= len(text) + 1
            if room < 0:
                left_out = len(self.rows) - len(texts)
                texts.append(json.dumps([f"… {left_out} rows left out", *[None] * (len(row) - 1)]))
                break
            texts.append(text)
        item = {"kind": "table", "name": name, "step": step, "time_ns": time_ns, "columns": columns}
        return [{**item, "rows": f"[{','.join(texts)}]"}]


def _cell(cell: Any) -> Any:
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    if hasattr(cell, "item") and not is_on_accelerator(cell) and getattr(cell, "ndim", 1) == 0:
        return _cell(cell.item())
    return clean_text(str(cell))
