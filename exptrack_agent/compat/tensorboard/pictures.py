"""Pictures as SummaryWriter takes them: in any order of dimensions, in batches, with boxes, as video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_COLUMNS = 8
_MOST_FRAMES = 8


def as_array(value: Any) -> Any:
    """A NumPy array of a tensor (wherever it stands, as SummaryWriter does: it waits), array or list."""
    if hasattr(value, "detach"):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.cpu().numpy()
    return np.asarray(value)


def as_picture(value: Any, dataformats: str) -> Any:
    """`[height, width, channels]` of a picture, or of a batch of them as a grid, in any order of dimensions.

    Raises:
        ValueError: the order does not fit the array.
    """
    pixels, order = as_array(value), dataformats.upper()
    if len(order) != pixels.ndim or len(set(order)) != len(order) or not set(order) <= set("NCHW"):
        raise ValueError(f"dataformats {dataformats!r} does not fit the shape {pixels.shape}")
    for missing in (letter for letter in "NHWC" if letter not in order):
        pixels, order = pixels[..., None], order + missing
    pixels = _shown(pixels.transpose([order.index(letter) for letter in "NHWC"]))
    return _grid(pixels)


def as_strip(video: Any) -> Any:
    """Some frames of each video of `[n, time, channels, height, width]`, in a row each."""
    frames = as_array(video)
    if frames.ndim != 5:
        raise ValueError(
            f"a video has the shape [n, time, channels, height, width], not {frames.shape}"
        )
    chosen = np.linspace(0, frames.shape[1] - 1, min(_MOST_FRAMES, frames.shape[1])).astype(int)
    rows = [np.concatenate(list(one[chosen].transpose(0, 2, 3, 1)), axis=1) for one in frames]
    return _shown(np.concatenate(rows, axis=0))


def with_boxes(pixels: Any, boxes: Any, labels: Sequence[str] | None) -> Any:
    """The picture with rectangles `[x1, y1, x2, y2]` drawn into it."""
    from PIL import Image, ImageDraw

    if pixels.dtype != np.uint8:
        pixels = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for number, (left, top, right, bottom) in enumerate(as_array(boxes).tolist()):
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline="red", width=2)
        if labels is not None:
            draw.text((left + 2, top + 1), str(labels[number]), fill="red")
    return np.asarray(picture)


def resized(pixels: Any, factor: float) -> Any:
    """The picture, scaled by nearest neighbours."""
    if factor == 1:
        return pixels
    rows, columns = (np.arange(int(size * factor)) / factor for size in pixels.shape[:2])
    return pixels[rows.astype(int)][:, columns.astype(int)]


def _shown(pixels: Any) -> Any:
    """Channels that can be shown: of two, or more than four, the first; whole numbers as bytes."""
    if pixels.shape[-1] not in (1, 3, 4):
        pixels = pixels[..., :1]
    if pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _grid(pixels: Any) -> Any:
    """One picture of a batch, eight in a row."""
    number, height, width, channels = pixels.shape
    if number == 1:
        return pixels[0]
    columns = min(_COLUMNS, number)
    rows = -(-number // columns)
    grid = np.zeros((rows * height, columns * width, channels), pixels.dtype)
    for place, one in enumerate(pixels):
        top, left = place // columns * height, place % columns * width
        grid[top : top + height, left : left + width] = one
    return grid
