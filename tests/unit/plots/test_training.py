"""The 2×2 picture: its lines from a real journal, and a figure for any lines there can be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from exptrack_daemon.plots import read
from exptrack_daemon.plots.curves import Curve, of_series
from exptrack_daemon.plots.look import styled
from exptrack_daemon.plots.names import TRAINING_METRICS
from exptrack_daemon.plots.options import Options
from exptrack_daemon.plots.reading import as_steps
from exptrack_daemon.plots.training import Training, draw
from exptrack_daemon.store.reader import open_home
from exptrack_daemon.store.series import Series
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder

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


def lines_of(home: HomeBuilder, run_id: str, rank: int = 0):
    return read(open_home(home.path), "training", [run_id], rank=rank).lines


def figure_of(values, **options):
    steps = np.arange(len(values))
    curve = of_series(Series("m", 0, steps, steps, np.array(values, float)), "step", as_steps)
    lines = {key: (names[0], curve) for key, names in TRAINING_METRICS.items()}
    with styled("light") as look:
        figure = draw(Training("p / $n^$ \n\x1b", "x", lines), look, Options(**options))
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("values", HARD.values(), ids=HARD.keys())
def test_any_line_can_be_drawn(values):
    figure = figure_of(values)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Loss",
        "Accuracy",
        "Gradient norm",
        "NaN and infinite gradients",
    ]


def test_a_panel_without_a_value_says_so():
    words = [text.get_text() for text in figure_of([]).axes[0].texts]
    assert words == ["nothing logged as train/loss"]
    assert "no finite value" in figure_of([np.nan]).axes[0].texts[0].get_text()


def test_one_value_far_out_does_not_flatten_the_rest():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(500)
    values[250] = 1e6
    loss = figure_of(values).axes[0]
    assert loss.get_ylim()[1] < 10
    assert any("1e+06" in text.get_text() for text in loss.texts)


def test_values_over_many_decades_stand_on_a_logarithmic_axis():
    assert figure_of(np.logspace(0, -6, 100)).axes[0].get_yscale() == "log"


def test_raw_and_smooth_stand_beside_each_other():
    labels = figure_of(np.arange(100.0)).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in labels] == ["train/loss", "smoothed"]
    labels = figure_of(np.arange(100.0), smooth=0).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in labels] == ["train/loss"]


def test_nan_and_infinities_are_marked_where_they_are():
    marks = {line.get_label(): line for line in figure_of([1.0, np.nan, np.inf, 2]).axes[0].lines}
    assert marks["NaN"].get_xdata().tolist() == [1.0]
    assert marks["+inf"].get_xdata().tolist() == [2.0]


def test_each_line_has_the_first_name_that_was_logged(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    stream = run.stream()
    for step in range(5):
        stream.log({"loss": 1.0, "train/accuracy": step, "accuracy": 0.0, "noise": "text"}, step)
    stream.log({"loss": "text", "train/accuracy": None}, 5)
    stream.log({"loss": math.nan, "train/accuracy": True}, 6)
    run.close()
    lines = lines_of(builder, "r")
    assert {key: name for key, (name, line) in lines.items() if line.points} == {
        "loss": "loss",
        "accuracy": "train/accuracy",
    }
    assert lines["accuracy"][1].y.tolist() == [0, 1, 2, 3, 4, 1]
    assert lines["loss"][1].odd_x.tolist() == [6]


def test_ranks_do_not_mix(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    run.stream(rank=0).log({"train/loss": 1.0}, 0)
    run.stream(rank=1).log({"train/loss": 2.0}, 0)
    run.close()
    assert lines_of(builder, "r")["loss"][1].y.tolist() == [1.0]
    assert lines_of(builder, "r", rank=1)["loss"][1].y.tolist() == [2.0]


def test_a_newer_attempt_replaces_what_it_repeats(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    first, second = run.stream(), run.stream()
    first.rows(*[Row(step, START_NS, {"train/loss": 1.0}) for step in range(10)])
    second.rows(*[Row(step, START_NS, {"train/loss": 2.0}) for step in range(5, 8)])
    run.close()
    assert lines_of(builder, "r")["loss"][1].y.tolist() == [1.0] * 5 + [2.0] * 3


def test_an_empty_run_has_lines_without_points(home: Path):
    builder = HomeBuilder(home)
    builder.run("r").stream()
    assert all(line.points == 0 for _, line in lines_of(builder, "r").values())


def test_long_series_are_read_as_cells(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    run.stream().rows(*[Row(s, START_NS + s, {"loss": float(s % 7)}) for s in range(5_000)])
    run.close()
    line: Curve = lines_of(builder, "r")["loss"][1]
    assert (line.points, line.is_thinned) == (5_000, True)
    assert (line.lowest.min(), line.highest.max()) == (0, 6)
