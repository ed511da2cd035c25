"""Images: raw pixels become the PNG that shows them; what is no picture is refused by name."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.images import image_value
from exptrack_proto.records import Array, Image


def item(array, **changes):
    return Image(name="sample", step=3, time_ns=1, pixels=array, **changes)


def packed(pixels, dtype):
    return Array(dtype=dtype, shape=list(pixels.shape), data=pixels.tobytes())


def shown(value):
    return np.asarray(Pillow.open(io.BytesIO(value.image.encoded_image_string)))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
def test_bytes_come_back_as_they_were(shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    value = image_value(item(packed(pixels, "u1")))
    assert (shown(value) == pixels).all()
    assert (value.image.height, value.image.width) == (4, 5)
    assert value.image.colorspace == (shape[2] if len(shape) == 3 else 1)


def test_one_channel_is_grey():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert (shown(image_value(item(packed(pixels, "u1")))) == pixels[:, :, 0]).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_from_0_to_1_are_scaled_and_the_rest_is_clipped(dtype):
    pixels = np.array([[0, 0.5, 1, 2, -1, np.nan, np.inf, -np.inf]], dtype=f"<{dtype}")
    assert shown(image_value(item(packed(pixels, dtype)))).tolist() == [
        [0, 128, 255, 255, 0, 0, 255, 0]
    ]


def test_booleans_are_black_and_white():
    value = image_value(item(packed(np.array([[True, False]]), "b1")))
    assert shown(value).tolist() == [[255, 0]]


def test_a_png_is_kept_as_it_came():
    target = io.BytesIO()
    Pillow.fromarray(np.zeros((7, 9, 3), np.uint8)).save(target, "PNG")
    png = target.getvalue()
    value = image_value(item(Array(dtype="u1", shape=[len(png)], data=png), format="png"))
    assert value.image.encoded_image_string == png
    assert (value.image.height, value.image.width, value.image.colorspace) == (7, 9, 3)


@pytest.mark.parametrize(
    "array",
    [
        Array(dtype="u1", shape=[4, 5], data=b"\0" * 19),
        Array(dtype="u1", shape=[1 << 40] * 8, data=b""),
        Array(dtype="u1", shape=[0, 1 << 40, 1 << 40], data=b""),
        Array(dtype="u1", shape=[], data=b"\0"),
        Array(dtype="u1", shape=[4], data=b"\0" * 4),
        Array(dtype="u1", shape=[2, 2, 2], data=b"\0" * 8),
        Array(dtype="u1", shape=[1, 1, 1, 1], data=b"\0"),
        Array(dtype="i4", shape=[1, 1], data=b"\0" * 4),
    ],
)
def test_what_is_no_picture_is_rejected_by_name(array):
    with pytest.raises(BatchRejected, match="image 'sample' at step 3"):
        image_value(item(array))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_png_is_rejected(data):
    with pytest.raises(BatchRejected, match="no whole PNG"):
        image_value(item(Array(dtype="u1", shape=[len(data)], data=data), format="png"))
