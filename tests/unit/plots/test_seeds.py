"""Bands over seeds from real journals."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.plots import PlotRefused, figure, read
from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder


@pytest.fixture
def reader(home):
    builder = HomeBuilder(home)
    for lr in (1, 2):
        for seed in range(3):
            run = builder.run(f"lr{lr}seed{seed}")
            stream = run.stream(name=f"lr{lr}-seed{seed}", config={"lr": lr, "seed": seed})
            odd = float("nan") if seed == 2 else 1.0
            rows = [{"loss": float(lr * 10 + seed)} for _ in range(0, 40, 2)]
            stream.rows(*[Row(2 * at + seed % 2, START_NS, row) for at, row in enumerate(rows)])
            stream.log({"loss": odd * 5.0}, 50)
            run.close()
    return open_home(home)


RUNS = [f"lr{lr}seed{seed}" for lr in (1, 2) for seed in range(3)]


def test_runs_are_grouped_by_name_or_key(reader):
    assert {k: len(v) for k, v in read(reader, "seeds", RUNS).groups.items()} == {
        "lr1": 3,
        "lr2": 3,
    }
    by_seed = read(reader, "seeds", RUNS, group_by="seed").groups
    assert list(by_seed) == ["seed=0", "seed=1", "seed=2"]


def test_seeds_that_log_at_other_steps_meet_on_one_grid(reader):
    grid = read(reader, "seeds", RUNS, metrics=["loss"]).grids["loss"]
    assert grid.width == 0
    at = grid.places.tolist().index(11.0)
    assert grid.rows[:3, at].tolist() == [10, 11, 12]
    assert grid.odd.tolist() == [50]


def test_line_band_and_legend(reader):
    drawn = figure(reader, "seeds", RUNS, metrics=["loss"])
    axes = drawn.axes[0]
    assert [line.get_ydata()[5] for line in axes.lines[:2]] == [11, 21]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "lr1 (n = 3)",
        "lr2 (n = 3)",
    ]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 11.0][:, 1].min() == pytest.approx(11 - 4.30265 / 3**0.5, rel=1e-3)
    assert "95 % CI of the mean" in drawn.texts[1].get_text()


def test_seeds_meet_over_time_since_each_began_and_over_epochs(home):
    builder = HomeBuilder(home)
    second = 1_000_000_000
    for seed in range(2):
        stream = builder.run(f"s{seed}").stream(name=f"s{seed}")
        began = START_NS + seed * 3600 * second  # the second seed an hour later, and half as fast
        stream.rows(
            *[
                Row(
                    10 * at,
                    began + at * (1 + seed) * second,
                    {"loss": float(at), "epoch": at // 2, "epoch/acc": at / 10},
                )
                for at in range(9)
            ]
        )
    reader = open_home(home)
    over_time = read(reader, "seeds", ["s0", "s1"], metrics=["loss"], x="relative").grids["loss"]
    assert over_time.places.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]
    assert over_time.rows[1, :5].tolist() == [0, 0.5, 1, 1.5, 2]
    assert np.isnan(over_time.rows[0, -1])
    by_epoch = read(reader, "seeds", ["s0", "s1"], metrics=["loss", "epoch/acc"], x="epoch").grids
    assert by_epoch["loss"].places.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert by_epoch["epoch/acc"].places.tolist() == list(range(0, 90, 10))
    drawn = figure(reader, "seeds", ["s0", "s1"], metrics=["loss"], x="relative")
    assert drawn.axes[0].get_xlabel() == "time since start (s)"
    with pytest.raises(PlotRefused, match="take x = relative"):
        read(reader, "seeds", ["s0", "s1"], x="wall")


def test_the_mean_is_not_drawn_where_most_runs_have_ended(reader):
    drawn = figure(reader, "seeds", [RUNS[0], RUNS[2]], metrics=["loss"])
    assert np.nanmax(drawn.axes[0].lines[0].get_xdata()) == 50
    drawn = figure(reader, "seeds", RUNS[:3], metrics=["loss"])
    assert drawn.axes[0].lines[0].get_xdata().max() == 50


def test_a_median_has_quartiles_and_not_the_means_interval(reader):
    assert read(reader, "seeds", RUNS, centre="median").interval == "iqr"
    with pytest.raises(PlotRefused, match="iqr or minmax"):
        read(reader, "seeds", RUNS, centre="median", interval="ci95")
