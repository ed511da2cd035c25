"""Media: what each object becomes on the wire, decoded by the daemon's own decoder, and what is refused."""

from __future__ import annotations

import io
import json

import msgpack
import msgspec
import numpy as np
import pytest

from exptrack_agent import Figure, Histogram, Image, Table, Text
from exptrack_agent.media import RawArray
from exptrack_agent.values import NotScalar
from exptrack_proto import records
from exptrack_proto.limits import MAX_CHUNK_BYTES, MAX_FRAME_BYTES, MAX_TEXT_CHARS

decoder = msgspec.msgpack.Decoder(records.Item)


def travelled(media: object) -> list[records.Item]:
    """The items as the daemon reads them."""
    return [decoder.decode(msgpack.packb(item)) for item in media.items("name", 3, 4)]


def array_of(item: records.Array, chunks: list[records.Item]) -> np.ndarray:
    data = item.data if not item.chunks else b"".join(chunk.data for chunk in chunks)
    return np.frombuffer(data, np.dtype(item.dtype)).reshape(item.shape)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.arange(6, dtype=np.int16),
        np.linspace(0, 1, 5, dtype=np.float16),
        np.linspace(0, 1, 5),
        np.array([True, False]),
        np.arange(10)[::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3)),
        np.uint64([2**64 - 1]),
    ],
    ids=["u1", "i2", "f2", "f8", "bool", "strided", "fortran", "empty", "u8"],
)
def test_arrays_of_every_kind_travel_bit_by_bit(array):
    raw = RawArray.of(array)
    again = np.frombuffer(raw.data, np.dtype(raw.dtype)).reshape(raw.shape)
    assert np.array_equal(again, array)


def test_lists_and_lists_of_scalars_are_arrays_too():
    raw = RawArray.of([[1, 2.5], [3, 4]])
    assert (raw.dtype, raw.shape) == ("f8", [2, 2])
    assert RawArray.of([np.float32(1), np.float32(2)]).shape == [2]
    assert RawArray.of([]).shape == [0]


def test_torch_tensors_travel():
    torch = pytest.importorskip("torch")
    assert RawArray.of(torch.arange(3)).dtype == "i8"
    raw = RawArray.of(torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True))
    assert np.frombuffer(raw.data, raw.dtype) == [1.5]
    assert RawArray.of([torch.tensor(1.0), torch.tensor(2.0)]).shape == [2]


@pytest.mark.parametrize(
    "value",
    [
        "text",
        None,
        object(),
        [[1], [1, 2]],
        ["a"],
        [[1], 2],
        np.array(["a"]),
        np.array([1j]),
        np.array([1], dtype=">f4"),
        np.array([object()]),
    ],
    ids=[
        "text",
        "none",
        "object",
        "ragged",
        "texts",
        "uneven",
        "u",
        "complex",
        "big-endian",
        "objects",
    ],
)
def test_what_is_no_array_is_refused(value):
    with pytest.raises((NotScalar, ValueError, TypeError)):
        RawArray.of(value)


def test_an_image_of_any_layout_becomes_height_width_channels():
    (grey,) = travelled(Image(np.zeros((4, 5))))
    (colour,) = travelled(Image(np.zeros((4, 5, 3), np.uint8), caption="a cat"))
    (turned,) = travelled(Image(np.zeros((3, 4, 5), np.uint8)))
    assert (grey.pixels.shape, colour.pixels.shape, turned.pixels.shape) == (
        [4, 5],
        [4, 5, 3],
        [4, 5, 3],
    )
    assert (colour.caption, colour.step, colour.time_ns, colour.name) == ("a cat", 3, 4, "name")


def test_a_torch_image_of_channels_first_is_turned():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(3 * 3 * 3, dtype=torch.uint8).reshape(3, 3, 3)
    (image,) = travelled(Image(tensor))
    assert np.array_equal(array_of(image.pixels, []), tensor.permute(1, 2, 0).numpy())


def test_pictures_of_pillow_and_png_bytes_and_files_travel(tmp_path):
    pil = pytest.importorskip("PIL.Image")
    picture = pil.new("RGB", (5, 4), (1, 2, 3))
    (image,) = travelled(Image(picture))
    assert (image.pixels.shape, image.format) == ([4, 5, 3], "raw")
    file = io.BytesIO()
    picture.save(file, "PNG")
    (png,) = travelled(Image(file.getvalue()))
    assert png.format == "png"
    assert png.pixels.data == file.getvalue()
    (tmp_path / "a.png").write_bytes(file.getvalue())
    assert travelled(Image(tmp_path / "a.png")) == [png]


@pytest.mark.parametrize(
    "data",
    [
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.zeros((0, 3)),
        np.zeros((1, 2, 3, 4)),
        b"GIF89a",
        "/no/such/file.png",
    ],
    ids=["1d", "two channels", "empty", "4d", "gif", "no file"],
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(NotScalar):
        travelled(Image(data))


def test_a_large_image_travels_in_pieces_that_fit_into_frames():
    array = np.random.default_rng(0).integers(0, 255, (600, 700, 3), np.uint8)
    *chunks, image = travelled(Image(array))
    assert len(chunks) == -(-array.size // MAX_CHUNK_BYTES)
    assert np.array_equal(array_of(image.pixels, chunks), array)
    assert all(
        len(msgpack.packb(item)) < MAX_FRAME_BYTES - 1024 for item in Image(array).items("n", 1, 2)
    )


def test_an_array_beyond_64_mib_is_refused_with_what_to_do():
    with pytest.raises(NotScalar, match="smaller"):
        travelled(Histogram(np.zeros(9 * 1024 * 1024)))


def test_a_histogram_of_values_or_of_counts_and_edges():
    (values,) = travelled(Histogram(np.arange(10.0).reshape(2, 5)))
    assert values.values.shape == [2, 5]
    (binned,) = travelled(Histogram(np_histogram=np.histogram([1.0, 2.0, 3.0], bins=4)))
    assert (binned.counts.shape, binned.edges.shape) == ([4], [5])
    for wrong in ({}, {"values": 1, "np_histogram": ([1], [0, 1])}):
        with pytest.raises(ValueError, match="takes values"):
            Histogram(**wrong)
    with pytest.raises(NotScalar, match="n \\+ 1 edges"):
        travelled(Histogram(np_histogram=([1, 2], [0, 1])))


def test_a_histogram_of_very_many_bins_travels_in_pieces():
    counts, edges = np.ones(65_500), np.arange(65_501.0)
    *chunks, item = travelled(Histogram(np_histogram=(counts, edges)))
    assert max(
        len(msgpack.packb(part))
        for part in Histogram(np_histogram=(counts, edges)).items("n", 1, 2)
    ) < (MAX_FRAME_BYTES - 1024)
    assert np.array_equal(array_of(item.counts, chunks[: item.counts.chunks]), counts)
    assert np.array_equal(array_of(item.edges, chunks[item.counts.chunks :]), edges)


def test_an_array_of_more_than_eight_dimensions_is_made_flat():
    (item,) = travelled(Histogram(np.zeros((1,) * 9 + (2,))))
    assert item.values.shape == [2]


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
def test_a_long_text_is_cut_to_fit_and_says_so(character):
    (short,) = travelled(Text(character * 10))
    assert short.text == character * 10
    (item,) = travelled(Text(character * 400_000))
    assert len(item.text) <= MAX_TEXT_CHARS
    assert item.text.startswith(character * 1_000)
    assert "cut: 400,000 characters" in item.text
    assert len(item.text.encode()) <= MAX_FRAME_BYTES - 4096


def test_a_text_may_be_anything_with_a_str():
    (item,) = travelled(Text({"a": "\ud800"}))
    assert item.text == "{'a': '\\ud800'}"
    (item,) = travelled(Text("\ud800"))
    assert item.text == "?"


def test_a_long_caption_is_cut():
    (item,) = travelled(Image(np.zeros((2, 2)), caption="漢" * 400_000))
    assert (
        len(msgpack.packb(Image(np.zeros((2, 2)), caption="漢" * 400_000).items("n", 1, 2)[0]))
        < MAX_FRAME_BYTES
    )
    assert item.caption.startswith("漢漢")


def test_a_figure_is_drawn_and_keeps_its_canvas():
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(2, 1), dpi=50)
    canvas = figure.canvas
    *chunks, item = travelled(Figure(figure, caption="c"))
    assert (item.pixels.shape, item.figure, item.caption) == ([50, 100, 4], True, "c")
    assert figure.canvas is canvas
    assert chunks == []
    with pytest.raises(NotScalar, match="matplotlib figure"):
        travelled(Figure("no figure"))


def test_a_table_of_rows_of_columns_or_of_a_frame():
    (rows,) = travelled(Table([[1, "a"], [2.5, None]], columns=["n", "s"]))
    assert (rows.columns, json.loads(rows.rows)) == (["n", "s"], [[1, "a"], [2.5, None]])
    (columns,) = travelled(Table({"x": [1, 2], "y": ["a", "b"]}))
    assert (columns.columns, json.loads(columns.rows)) == (["x", "y"], [[1, "a"], [2, "b"]])
    pandas = pytest.importorskip("pandas")
    (frame,) = travelled(Table(pandas.DataFrame({"x": [1, 2]})))
    assert (frame.columns, json.loads(frame.rows)) == (["x"], [[1], [2]])


def test_cells_of_any_type_become_json():
    table = Table([[np.float32(0.5), np.int64(3), True, object, "\ud800", 10**30, b"x"]])
    table.add_data(1, 2, 3, 4, 5, 6, 7)
    (item,) = travelled(table)
    assert json.loads(item.rows)[0][:3] == [0.5, 3, True]
    assert len(json.loads(item.rows)) == 2
    with pytest.raises(ValueError, match="7 columns"):
        table.add_data(1)


def test_a_table_of_ragged_rows_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="cells"):
        Table([[1, 2], [3]])


def test_a_large_table_keeps_its_beginning_and_says_what_is_missing():
    (item,) = travelled(Table([[number, "x" * 100] for number in range(20_000)]))
    rows = json.loads(item.rows)
    assert 1_000 < len(rows) < 20_000
    assert rows[-1] == [f"… {20_000 - len(rows) + 1} rows left out", None]


def test_a_table_of_very_many_columns_is_refused():
    with pytest.raises(NotScalar, match="columns"):
        travelled(Table([list(range(2_000))]))


def test_long_names_of_columns_do_not_burst_a_frame():
    table = Table([list(range(1_000))], columns=["漢" * 2_000] * 1_000)
    assert len(msgpack.packb(table.items("n", 1, 2)[0])) < MAX_FRAME_BYTES - 1024
    assert travelled(table)
