"""Logged media as the browser may have it: pictures drawn anew as PNG, all else as numbers and texts. Pure.

A PNG file that a run logged is decoded and encoded again, so that nothing but pixels gets through, and no
more of them than a screen needs.
"""

from __future__ import annotations

import io
import json
import math
import struct
from typing import Any

import numpy as np
from PIL import Image as Pillow

from exptrack_daemon.store.scanning import MediaEntry
from exptrack_daemon.store.series import Array as Numbers
from exptrack_proto.records import Array, Histogram, Image, Table, TextItem

_MOST_PIXELS = 50_000_000
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_AT = 16
_BINS = 64
_COMPRESSION = 3
KINDS = ("image", "figure", "histogram", "text", "table")


class NotShowable(Exception):
    """What was logged is no such thing; the message says why."""


def kind_of(entry: MediaEntry) -> str:
    """One of `KINDS`."""
    item = entry.item
    if isinstance(item, Image):
        return "figure" if item.figure else "image"
    return {Histogram: "histogram", TextItem: "text", Table: "table"}[type(item)]


def entry_document(entry: MediaEntry) -> dict[str, Any]:
    """What a list shows of it."""
    item = entry.item
    width, height = _size(item) if isinstance(item, Image) else (None, None)
    return {
        "number": entry.number,
        "name": item.name,
        "kind": kind_of(entry),
        "step": item.step,
        "time_ms": item.time_ns / 1e6,
        "rank": entry.rank,
        "caption": item.caption if isinstance(item, Image) else "",
        "width": width,
        "height": height,
    }


def document(entry: MediaEntry) -> dict[str, Any]:
    """A histogram, text or table.

    Raises:
        NotShowable: its bytes are not what it says.
    """
    item = entry.item
    if isinstance(item, TextItem):
        return {"text": item.text}
    if isinstance(item, Table):
        return {"columns": list(item.columns), "rows": _rows(item)}
    if isinstance(item, Histogram):
        return _histogram(item)
    raise NotShowable(f"{item.name!r} is a picture")


def png_of(item: Image, largest: int | None = None) -> bytes:
    """The picture as a PNG file; with `largest` no side is longer than so many pixels.

    Raises:
        NotShowable: it is no picture.
    """
    picture = _decoded(item) if item.format == "png" else Pillow.fromarray(_pixels(item))
    if largest is not None and max(picture.size) > largest:
        picture.thumbnail((largest, largest))
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=_COMPRESSION)
    return target.getvalue()


def numbers(array: Array, owner: str) -> Numbers:
    """The array's bytes as numbers.

    Raises:
        NotShowable: the bytes are not what dtype and shape say.
    """
    dtype = np.dtype("?" if array.dtype == "b1" else f"<{array.dtype}")
    if math.prod(array.shape) * dtype.itemsize != len(array.data) or not array.data:
        raise NotShowable(f"{owner} holds {len(array.data)} bytes, not {array.dtype} {array.shape}")
    return np.frombuffer(array.data, dtype).reshape(array.shape)


def _size(item: Image) -> tuple[int | None, int | None]:
    """Width and height, without decoding anything."""
    if item.format == "png":
        head = item.pixels.data[_PNG_SIZE_AT : _PNG_SIZE_AT + _PNG_SIZE.size]
        return _PNG_SIZE.unpack(head) if len(head) == _PNG_SIZE.size else (None, None)
    shape = item.pixels.shape
    return (shape[1], shape[0]) if len(shape) in (2, 3) else (None, None)


def _decoded(item: Image) -> Pillow.Image:
    owner = f"picture {item.name!r}"
    try:
        with Pillow.open(io.BytesIO(item.pixels.data), formats=["PNG"]) as opened:
            if math.prod(opened.size) > _MOST_PIXELS:
                raise NotShowable(f"{owner} has more than {_MOST_PIXELS:,} pixels")
            return opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise NotShowable(f"{owner} is no PNG picture") from error


def _pixels(item: Image) -> Numbers:
    owner = f"picture {item.name!r}"
    pixels = numbers(item.pixels, owner)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise NotShowable(f"{owner} has the shape {list(pixels.shape)}")
    if pixels.dtype.kind in "fb":
        known = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        pixels = np.rint(known.clip(0.0, 1.0) * np.float32(255))
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _histogram(item: Histogram) -> dict[str, Any]:
    owner = f"histogram {item.name!r}"
    if item.counts is not None and item.edges is not None:
        counts, edges = numbers(item.counts, owner), numbers(item.edges, owner)
        if counts.ndim != 1 or edges.shape != (counts.size + 1,):
            raise NotShowable(f"{owner} has {counts.size} counts and {edges.size} edges")
        return {"edges": edges.astype(float).tolist(), "counts": counts.tolist(), "nonfinite": 0}
    if item.values is None:
        raise NotShowable(f"{owner} is empty")
    values = numbers(item.values, owner).ravel().astype(np.float64)
    finite = values[np.isfinite(values)]
    odd = values.size - finite.size
    if not finite.size:
        return {"edges": [], "counts": [], "nonfinite": odd}
    try:
        counts, edges = np.histogram(finite, _BINS)
    except ValueError:  # the span overflows a float, or holds fewer floats than bins
        counts, edges = np.array([finite.size]), np.array([finite.min(), finite.max()])
    return {"edges": edges.tolist(), "counts": counts.tolist(), "nonfinite": odd}


def _rows(item: Table) -> list[Any]:
    try:
        rows = json.loads(item.rows)
    except (ValueError, RecursionError) as error:
        raise NotShowable(f"table {item.name!r} holds no rows that can be read") from error
    return rows if isinstance(rows, list) else []
