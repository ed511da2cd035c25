"""Media items -> what W&B can show: histogram values, PNG bytes, HTML pages. Pure.

Text and tables become pages. A `wandb.Table` would be an artifact, which costs two requests inside
`log()`: 19 s of waiting, then an exception, when the server is away.
"""

from __future__ import annotations

import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from exptrack_proto.records import Array, Histogram, Image, Table, TextItem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers: TypeAlias = npt.NDArray[Any]
    Floats: TypeAlias = npt.NDArray[np.float64]


class NotShowable(Exception):
    """The item's numbers are not what it says they are."""


MAX_BINS = 512
"""W&B refuses more."""
_BINS = 64
_MAX_PIXELS = 100_000_000
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Picture:
    png: bytes
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    html: str


Attachment: TypeAlias = Picture | Page


def render(item: Histogram | Image | Table | TextItem) -> Attachment | dict[str, Any]:
    """Make a media item into something that W&B shows.

    One that cannot be shown becomes a page that says so: a line left out would shift all that follow.
    """
    try:
        return _render(item)
    except NotShowable as error:
        return Page(_page(f"<p>exptrack cannot show this: {html.escape(str(error))}</p>"))


def _render(item: Histogram | Image | Table | TextItem) -> Attachment | dict[str, Any]:
    match item:
        case Histogram():
            return histogram(item)
        case Image():
            return picture(item)
        case TextItem():
            return Page(_page(f"<pre>{html.escape(item.text)}</pre>"))
        case Table():
            return Page(_page(_table(item)))


def numbers(array: Array, what: str) -> Numbers:
    """The array an item carries."""
    import numpy as np

    try:
        flat = np.frombuffer(array.data, dtype=np.dtype(array.dtype).newbyteorder("<"))
        return flat.reshape(array.shape)
    except ValueError as error:
        shape = "×".join(map(str, array.shape))
        raise NotShowable(
            f"{what}: {len(array.data)} bytes are no {array.dtype} {shape}"
        ) from error


# -- histograms --------------------------------------------------------------------------------------


def histogram(item: Histogram) -> dict[str, Any]:
    """W&B's histogram value, at most 512 bins."""
    what = f"histogram {item.name!r}"
    if item.values is not None:
        counts, edges = _bin(numbers(item.values, what))
    elif item.counts is not None and item.edges is not None:
        counts, edges = _rebin(
            numbers(item.counts, what).ravel(), numbers(item.edges, what).ravel(), what
        )
    else:
        raise NotShowable(f"{what} has neither values nor counts and edges")
    return {"_type": "histogram", "values": counts.tolist(), "bins": edges.tolist()}


def _bin(values: Numbers) -> tuple[Numbers, Floats]:
    import numpy as np

    finite = values.astype(np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return np.zeros(1, dtype=np.int64), np.array([0.0, 1.0])
    # Halved, the width of any range of doubles is a double.
    low, high = float(finite.min()), float(finite.max())
    scale = 1.0 if math.isfinite(high - low) else 0.5
    counts, edges = np.histogram(finite * scale, bins=_BINS)
    return counts, edges / scale


def _rebin(counts: Numbers, edges: Numbers, what: str) -> tuple[Numbers, Numbers]:
    """Neighbouring bins are joined until 512 are enough."""
    import numpy as np

    if not counts.size or edges.size != counts.size + 1:
        raise NotShowable(f"{what} has {counts.size} counts and {edges.size} edges")
    starts = np.arange(0, counts.size, math.ceil(counts.size / MAX_BINS))
    return np.add.reduceat(counts, starts), np.append(edges[starts], edges[-1])


# -- pictures ----------------------------------------------------------------------------------------


def picture(item: Image) -> Picture:
    what = f"image {item.name!r}"
    pixels = numbers(item.pixels, what)
    if item.format == "png":
        png = pixels.tobytes()
        _check_png(png, what)
    else:
        png = _encode_png(_to_bytes(pixels, what))
    return Picture(png, item.caption or None)


def _to_bytes(pixels: Numbers, what: str) -> Numbers:
    """Height × width or height × width × channels, 0…255."""
    import numpy as np

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS)
    if not fits or not pixels.size:
        shape = "×".join(map(str, pixels.shape))
        raise NotShowable(f"{what} is {shape}; pictures are height×width[×1, 3 or 4]")
    if pixels.dtype.kind in "fb":
        scaled = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0) * 255
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _encode_png(pixels: Numbers) -> bytes:
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "png", compress_level=4)
    return file.getvalue()


def _check_png(png: bytes, what: str) -> None:
    """Wandb decodes every picture to know its size: what cannot be decoded must not come so far."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(png), formats=["png"]) as opened:
            width, height = opened.size
            if width * height > _MAX_PIXELS:
                raise NotShowable(f"{what} has {width}×{height} pixels")
            opened.load()
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise NotShowable(f"{what} is no PNG picture") from error


# -- pages -------------------------------------------------------------------------------------------

_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:8px}"
    "pre{white-space:pre-wrap;font:inherit;margin:0}"
    "table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:2px 8px;text-align:left}"
)


def _page(body: str) -> str:
    return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>{body}\n'


def _table(item: Table) -> str:
    what = f"table {item.name!r}"
    try:
        rows = json.loads(item.rows)
    except ValueError as error:
        raise NotShowable(f"{what}: its rows are not JSON") from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise NotShowable(f"{what}: its rows are no array of arrays")
    head = _cells(item.columns, "th")
    body = "".join(f"<tr>{_cells(row, 'td')}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _cells(row: Sequence[Any], tag: str) -> str:
    texts = ("" if cell is None else html.escape(str(cell)) for cell in row)
    return "".join(f"<{tag}>{text}</{tag}>" for text in texts)
