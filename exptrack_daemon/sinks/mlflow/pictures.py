"""Images -> PNG bytes, and the small copy that MLflow's pages show first. Pure."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image as Pillow

from exptrack_daemon.errors import BatchRejected
from exptrack_proto.records import Image

_SMALL = (256, 256)
_MAX_PIXELS = 100_000_000
_CHANNELS = (3, 4)


def encoded(item: Image) -> tuple[bytes, bytes]:
    """The picture as PNG, and a WebP of at most 256 × 256 of it.

    Raises:
        BatchRejected: the bytes are no picture.
    """
    what = f"image {item.name!r} at step {item.step}"
    if item.format == "png":
        png = bytes(item.pixels.data)
        return png, _small(_opened(png, what))
    picture = Pillow.fromarray(_to_bytes(_pixels(item, what)))
    file = io.BytesIO()
    picture.save(file, "png", compress_level=4)
    return file.getvalue(), _small(picture)


def _opened(png: bytes, what: str) -> Pillow.Image:
    try:
        opened = Pillow.open(io.BytesIO(png), formats=["png"])
        if math.prod(opened.size) > _MAX_PIXELS:
            raise BatchRejected(f"{what} has {opened.size[0]}×{opened.size[1]} pixels")
        opened.load()
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise BatchRejected(f"{what} is no PNG picture") from error
    return opened


def _small(picture: Pillow.Image) -> bytes:
    small = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
    small.thumbnail(_SMALL)
    file = io.BytesIO()
    small.save(file, "webp")
    return file.getvalue()


def _pixels(item: Image, what: str) -> np.ndarray[Any, np.dtype[Any]]:
    array = item.pixels
    dtype = np.dtype("?" if array.dtype == "b1" else f"<{array.dtype}")
    wanted = math.prod(array.shape) * dtype.itemsize
    if not wanted or wanted != len(array.data):
        raise BatchRejected(
            f"{what}: {len(array.data)} bytes are no {array.dtype} {list(array.shape)}"
        )
    pixels = np.frombuffer(array.data, dtype).reshape(array.shape)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS):
        raise BatchRejected(
            f"{what} is {list(array.shape)}, not [height, width] or [height, width, 1, 3 or 4]"
        )
    return pixels


def _to_bytes(pixels: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if pixels.dtype.kind in "fb":
        known = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
        pixels = np.rint(known.clip(0.0, 1.0) * 255)
    bytes_: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(pixels, 0, 255).astype(np.uint8)
    return bytes_
