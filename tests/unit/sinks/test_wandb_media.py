"""Media items -> what W&B shows."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image as Pillow

from exptrack_daemon.sinks.wandb.media import Page, Picture, render
from exptrack_proto import records
from tests.support.wandb_journal import array

COMMON = {"name": "m", "step": 1, "time_ns": 0}


def histogram(**arrays) -> records.Histogram:
    return records.Histogram(**COMMON, **{key: array(np.asarray(v)) for key, v in arrays.items()})


def image(pixels, **more) -> records.Image:
    return records.Image(**COMMON, pixels=array(np.asarray(pixels)), **more)


def assert_not_shown(item) -> None:
    shown = render(item)
    assert isinstance(shown, Page)
    assert "exptrack cannot show this" in shown.html


def decoded(picture) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(picture.png)))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "u8", "i4", "?"])
def test_values_of_any_kind_are_binned_and_none_is_left_out(kind):
    values = (np.arange(1000) % 2).astype(kind).reshape(10, 100)
    shown = render(histogram(values=values))
    assert sum(shown["values"]) == 1000
    assert len(shown["bins"]) == len(shown["values"]) + 1 == 65
    json.dumps(shown)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ([], 0),
        ([np.nan, np.inf], 0),
        ([5.0], 1),
        ([1.0, np.nan, 2.0, -np.inf], 2),
        ([-1.7e308, 1.7e308], 2),
    ],
)
def test_odd_values_make_a_histogram_too(values, counted):
    shown = render(histogram(values=np.array(values, dtype=float)))
    assert sum(shown["values"]) == counted
    assert np.isfinite(shown["bins"]).all()
    assert shown["bins"] == sorted(shown["bins"])


def test_given_bins_are_kept():
    shown = render(histogram(counts=[1, 2, 3], edges=[0.0, 1.0, 2.0, 3.0]))
    assert shown == {"_type": "histogram", "values": [1, 2, 3], "bins": [0.0, 1.0, 2.0, 3.0]}


@pytest.mark.parametrize("bins", [513, 1000, 5000])
def test_more_than_512_bins_are_joined_without_losing_a_count(bins):
    shown = render(histogram(counts=np.arange(bins), edges=np.arange(bins + 1.0)))
    assert len(shown["values"]) <= 512
    assert sum(shown["values"]) == bins * (bins - 1) // 2
    assert (shown["bins"][0], shown["bins"][-1]) == (0, bins)


@pytest.mark.parametrize(
    "arrays",
    [{}, {"counts": [1]}, {"counts": [1], "edges": [1.0]}, {"counts": np.zeros(0), "edges": [1.0]}],
)
def test_bins_that_do_not_fit_are_said_so_in_their_place(arrays):
    assert_not_shown(histogram(**arrays))


def test_a_picture_keeps_its_pixels_and_its_caption():
    pixels = np.random.default_rng(1).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    shown = render(image(pixels, caption="c"))
    assert isinstance(shown, Picture)
    assert shown.caption == "c"
    assert (decoded(shown) == pixels).all()


def test_the_same_pixels_make_the_same_file():
    pixels = np.zeros((5, 7), dtype=np.uint8)
    assert render(image(pixels)) == render(image(pixels))


@pytest.mark.parametrize(
    ("pixels", "bytes_"),
    [
        (np.array([[0.0, 0.5, 1.0, 2.0, -1.0, np.nan, np.inf]]), [0, 128, 255, 255, 0, 0, 255]),
        (np.array([[True, False]]), [255, 0]),
        (np.array([[300, -5, 17]], dtype=np.int32), [255, 0, 17]),
        (np.array([[[9]], [[8]]], dtype=np.uint8), [9, 8]),
    ],
    ids=["floats", "bools", "wide ints", "one channel"],
)
def test_pixels_of_any_kind_become_bytes(pixels, bytes_):
    assert decoded(render(image(pixels))).ravel().tolist() == bytes_


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 4), (2, 2, 5), (1, 2, 2, 3)])
def test_shapes_that_are_no_picture_are_said_so_in_their_place(shape):
    assert_not_shown(image(np.zeros(shape, dtype=np.uint8)))


def test_a_png_goes_through_as_it_is_and_what_is_no_png_is_said_so():
    png = render(image(np.zeros((4, 4), dtype=np.uint8))).png
    encoded = np.frombuffer(png, dtype=np.uint8)
    assert render(image(encoded, format="png")).png == png
    for broken in (encoded[:-30], encoded[:10], np.zeros(50, dtype=np.uint8)):
        assert_not_shown(image(broken, format="png"))


def test_texts_and_tables_are_pages_in_which_nothing_is_markup():
    text = render(records.TextItem(**COMMON, text="<script>x</script> & ü"))
    assert isinstance(text, Page)
    assert "<script>" not in text.html
    assert "&lt;script&gt;" in text.html
    table = render(
        records.Table(**COMMON, columns=["<a>", "b"], rows='[["<i>", null], [1.5, true]]')
    )
    assert "<th>&lt;a&gt;</th>" in table.html
    assert "<td>&lt;i&gt;</td><td></td>" in table.html
    assert "<td>1.5</td><td>True</td>" in table.html


@pytest.mark.parametrize("rows", ["{}", "[1]", "["])
def test_a_table_that_is_none_is_said_so_in_its_place(rows):
    assert_not_shown(records.Table(**COMMON, columns=["a"], rows=rows))
