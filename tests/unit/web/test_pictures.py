"""Media for the browser: pixels only, whatever the file held."""

from __future__ import annotations

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from exptrack_daemon.store.scanning import MediaEntry
from exptrack_daemon.web.pictures import (
    NotShowable,
    document,
    entry_document,
    kind_of,
    png_of,
)
from exptrack_proto.records import Array, Histogram, Image, Table, TextItem

AT = {"name": "x", "step": 3, "time_ns": 5_000_000}


def array(values, shape=None):
    values = np.asarray(values)
    dtype = {"float64": "f8", "float32": "f4", "uint8": "u1", "bool": "b1", "int64": "i8"}
    return Array(
        dtype[values.dtype.name],
        list(values.shape if shape is None else shape),
        0,
        values.tobytes(),
    )


def raw(values, **fields):
    return Image(**AT, pixels=array(values), **fields)


def png_file(image, **options):
    target = io.BytesIO()
    image.save(target, "PNG", **options)
    return target.getvalue()


def as_png_item(data):
    return Image(**AT, pixels=Array("u1", [len(data)], 0, data), format="png")


def pixels_of(png):
    with Pillow.open(io.BytesIO(png)) as opened:
        return np.array(opened)


def test_raw_pixels_come_back_as_they_were():
    colours = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels_of(png_of(raw(colours))), colours)
    grey = np.array([[0.0, 0.5, 1.0, np.nan, np.inf, -1.0]])
    assert pixels_of(png_of(raw(grey))).tolist() == [[0, 128, 255, 0, 255, 0]]
    assert pixels_of(png_of(raw(grey[:, :, None] > 0.6))).tolist() == [[0, 0, 255, 0, 255, 0]]
    assert pixels_of(png_of(raw(np.array([[-5, 300]])))).tolist() == [[0, 255]]


def test_a_png_file_is_drawn_anew_so_that_what_it_carried_beside_pixels_is_gone():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "<script>alert(1)</script>")
    data = png_file(Pillow.new("RGBA", (4, 3), (1, 2, 3, 4)), pnginfo=info) + b"<svg onload=x>"
    shown = png_of(as_png_item(data))
    assert b"script" not in shown
    assert b"svg" not in shown
    assert pixels_of(shown)[0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_shown(mode):
    assert pixels_of(png_of(as_png_item(png_file(Pillow.new(mode, (4, 3)))))).shape[:2] == (3, 4)


def test_a_thumbnail_keeps_its_shape_and_a_small_picture_its_size():
    assert pixels_of(png_of(raw(np.zeros((100, 400), np.uint8)), 64)).shape == (16, 64)
    assert pixels_of(png_of(raw(np.zeros((10, 20), np.uint8)), 64)).shape == (10, 20)


def bomb():
    """A PNG that says it has 2**40 pixels."""
    data = bytearray(png_file(Pillow.new("L", (1, 1))))
    data[16:24] = (1 << 20).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", png_file(Pillow.new("L", (9, 9)))[:-30], bomb()]
)
def test_what_is_no_png_is_not_shown(data):
    with pytest.raises(NotShowable):
        png_of(as_png_item(data))


@pytest.mark.parametrize("shape", [[3], [2, 2, 2], [1, 2, 3, 4], [0, 4]])
def test_what_is_no_picture_is_not_shown(shape):
    with pytest.raises(NotShowable):
        png_of(raw(np.zeros(shape, np.uint8)))


def test_bytes_that_are_not_what_they_say_are_not_shown():
    with pytest.raises(NotShowable, match="bytes"):
        png_of(Image(**AT, pixels=array(np.zeros(3, np.uint8), [100, 100])))
    with pytest.raises(NotShowable, match="bytes"):
        document(MediaEntry(0, 0, Histogram(**AT, values=Array("f8", [1 << 40], 0, b""))))


def test_histograms_texts_and_tables_are_numbers_and_texts():
    values = np.array([1.0, 2.0, 2.5, np.nan, np.inf])
    shown = document(MediaEntry(0, 0, Histogram(**AT, values=array(values))))
    assert (sum(shown["counts"]), shown["nonfinite"], len(shown["edges"])) == (3, 2, 65)
    given = Histogram(**AT, counts=array([1, 2]), edges=array([0.0, 1.0, 2.0]))
    assert document(MediaEntry(0, 0, given)) == {
        "edges": [0.0, 1.0, 2.0],
        "counts": [1, 2],
        "nonfinite": 0,
    }
    none = Histogram(**AT, values=array(np.array([np.nan])))
    assert document(MediaEntry(0, 0, none)) == {"edges": [], "counts": [], "nonfinite": 1}
    assert document(MediaEntry(0, 0, TextItem(**AT, text="<b>"))) == {"text": "<b>"}
    table = Table(**AT, columns=["a"], rows=json.dumps([[1], ["<i>"]]))
    assert document(MediaEntry(0, 0, table)) == {"columns": ["a"], "rows": [[1], ["<i>"]]}


@pytest.mark.parametrize(
    "item",
    [
        Histogram(**AT),
        Histogram(**AT, counts=array([1, 2]), edges=array([0.0, 1.0])),
        Table(**AT, columns=["a"], rows="[["),
        raw(np.zeros((2, 2), np.uint8)),
    ],
)
def test_what_can_not_be_told_says_so(item):
    with pytest.raises(NotShowable):
        document(MediaEntry(0, 0, item))


def test_a_list_tells_sizes_without_decoding():
    item = as_png_item(png_file(Pillow.new("L", (4, 3))))
    shown = entry_document(MediaEntry(5, 2, item))
    assert shown == {
        "number": 5,
        "name": "x",
        "kind": "image",
        "step": 3,
        "time_ms": 5.0,
        "rank": 2,
        "caption": "",
        "width": 4,
        "height": 3,
    }
    assert entry_document(MediaEntry(0, 0, as_png_item(b"x")))["width"] is None
    assert entry_document(MediaEntry(0, 0, raw(np.zeros((3, 4), np.uint8))))["width"] == 4
    assert kind_of(MediaEntry(0, 0, raw(np.zeros((3, 4)), figure=True))) == "figure"
    assert kind_of(MediaEntry(0, 0, TextItem(**AT, text=""))) == "text"
