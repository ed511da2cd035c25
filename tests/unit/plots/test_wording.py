"""Text made harmless, and numbers in few characters."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from exptrack_daemon.plots.wording import (
    Values,
    amount_of_bytes,
    duration,
    label_values,
    short_number,
    short_value,
    shown,
)


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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1500, "1,500"), (2.5e-7, "2.5e-7"), (3e20, "3e20")],
)
def test_a_value_in_few_characters(value: float, text: str):
    assert short_value(value) == text


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ([0, 0.5, 1], ["0.0", "0.5", "1.0"]),
        ([0.99995, 0.99996], ["0.99995", "0.99996"]),
        ([0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([1000, 2000], ["1,000", "2,000"]),
        ([0, 1e-6], ["0", "1e-6"]),
        ([], []),
    ],
)
def test_ticks_have_the_digits_that_tell_them_apart(ticks, texts):
    assert Values().format_ticks(ticks) == texts


def test_times_and_bytes_have_units():
    assert [duration(s) for s in (0, 25e-6, 0.012, 3.5, 90, 7200)] == [
        "0 s", "25 µs", "12 ms", "3.5 s", "1.5 min", "2 h",
    ]  # fmt: skip
    assert [amount_of_bytes(n) for n in (5, 2048, 3 << 30)] == ["5 B", "2 KiB", "3 GiB"]


def test_what_is_too_long_loses_its_middle():
    assert shown("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"


def test_what_no_font_has_and_what_steers_is_replaced():
    assert shown("a\x1b[0m\nb") == "a [0m b"
    assert shown("\U0001f680") == "□"
    assert shown("$x$") == r"\$x\$"


def test_decades_of_a_logarithmic_axis_have_no_needless_digits():
    axes = Figure().subplots()
    axes.set_yscale("log")
    axes.set_ylim(1e-9, 100)
    label_values(axes)
    axes.figure.draw_without_rendering()
    assert "1e-8" in [label.get_text() for label in axes.get_yticklabels()]
    assert "100" in [label.get_text() for label in axes.get_yticklabels()]
