"""The picture: a PNG for any lines there can be, the same for the same lines."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from exptrack_daemon.plots.picture import png_of, short_number
from exptrack_daemon.plots.reading import PANELS
from exptrack_daemon.plots.thinning import Line, Thinner

HARD = {
    "nothing": [],
    "one": [1.0],
    "one nan": [np.nan],
    "only odd": [np.nan, np.inf, -np.inf],
    "constant": [2.0] * 50,
    "zeros": [0.0] * 50,
    "huge": [1e300, -1e300, 1e-300],
    "peaks": [1.0] * 40 + [1e9],
    "signed peaks": [1.0, -1.0] * 20 + [-1e9, 0.0],
    "mixed": [np.nan, 1.0, np.inf, 2.0, -np.inf] * 12,
    "counts": [0.0, 5.0, 0.0, 1e6],
    "negative counts": [-1.0, -2.0],
}


def lines_of(values) -> dict[str, tuple[str, Line]]:
    thinner = Thinner()
    thinner.add(np.arange(len(values)), np.array(values, dtype=float))
    return {key: (names[0], thinner.line()) for key, names in PANELS.items()}


@pytest.mark.parametrize("values", HARD.values(), ids=HARD.keys())
def test_any_line_can_be_drawn(values):
    png = png_of(lines_of(values), "p / $n^$ \n\x1b", "x")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (1320, 836)


def test_dark_is_another_picture():
    assert png_of(lines_of([1.0]), "t", "s", "dark") != png_of(lines_of([1.0]), "t", "s")


def test_the_same_lines_are_the_same_bytes():
    assert png_of(lines_of([1.0, 2.0]), "t", "s") == png_of(lines_of([1.0, 2.0]), "t", "s")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "0"),
        (1500, "1,500"),
        (20_000, "20 k"),
        (1_500_000, "1.5 M"),
        (-2e9, "-2 G"),
        (0.5, "0.5"),
    ],
)
def test_a_step_in_few_characters(at: float, text: str):
    assert short_number(at) == text
