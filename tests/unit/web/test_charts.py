"""Charts: the cells of the store on one grid, kept until a run changes."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.store.reader import open_home
from exptrack_daemon.store.series import width_for
from exptrack_daemon.web.charts import STATS, Charts, Question
from exptrack_daemon.web.index import RunIndex
from tests.support.homes import SECOND_NS, START_NS, HomeBuilder, TurnedClock

MS = 1_000_000


@pytest.fixture
def reader(home):
    homes = HomeBuilder(home)
    for name, steps in (("a", range(0, 300, 3)), ("b", range(50, 200))):
        run = homes.run(name)
        stream = run.stream()
        for step in steps:
            odd = {60: float("nan"), 63: float("inf"), 66: float("-inf")}.get(step, step / 7)
            stream.log({"loss": odd, "neg": -step}, step)
        run.close()
    return open_home(home)


@pytest.fixture
def runs(reader):
    return RunIndex(reader.home, TurnedClock()).get(reader, ["a", "b"])


def question(**fields):
    usual = {"names": ("loss",), "x": "step", "lo": None, "hi": None, "cells": 40, "stats": STATS}
    return Question(**{**usual, "rank": 0, "is_system": False, **fields})


def test_every_value_equals_the_stores_cell(reader, runs):
    drawn = Charts().draw(reader, runs, question(names=("loss", "neg", "none")))
    header = drawn.header
    assert header["extent"] == [0, 297]
    assert header["width"] == width_for(0, 297, 40)
    assert drawn.values.shape == (3, 2, len(STATS), header["cells"])
    for r, run in enumerate(runs):
        lo, width = header["x0"], header["width"]
        hi = lo + header["cells"] * width - 1
        for n, name in enumerate(header["names"]):
            cells = reader.cells(run.view.id, [name], width=width, lo=lo, hi=hi)[name]
            for s, stat in enumerate(STATS[:-1]):
                np.testing.assert_array_equal(drawn.values[n, r, s], getattr(cells, stat))


def test_odd_values_are_counted_and_empty_cells_are_nan_with_counts_of_0(reader, runs):
    values = Charts().draw(reader, runs, question(names=("loss", "none"))).values
    by_stat = dict(zip(STATS, values[0, 0], strict=True))
    assert (by_stat["nan"].sum(), by_stat["pos_inf"].sum(), by_stat["neg_inf"].sum()) == (1, 1, 1)
    assert np.isfinite(by_stat["max"][by_stat["count"] > 3]).all()
    nothing = dict(zip(STATS, values[1, 0], strict=True))
    assert np.isnan(nothing["mean"]).all()
    assert np.isnan(nothing["seconds"]).all()
    assert not nothing["count"].any()


def test_a_window_is_finer_and_keeps_the_extent_of_all(reader, runs):
    drawn = Charts().draw(reader, runs, question(lo=100, hi=110))
    assert (drawn.header["x0"], drawn.header["width"], drawn.header["cells"]) == (100, 1, 11)
    assert drawn.header["extent"] == [0, 297]
    beyond = Charts().draw(reader, runs, question(lo=10_000, hi=10_100))
    assert np.isnan(beyond.values[:, :, 0]).all()
    before = Charts().draw(reader, runs, question(lo=-100, hi=-1))
    assert before.header["x0"] <= -100


def test_time_is_in_milliseconds_and_relative_counts_from_each_runs_start(reader, runs):
    charts = Charts()
    starts = [run.view.facts.run.created_ns for run in runs]
    by_time = charts.draw(reader, runs, question(x="time", cells=64))
    assert by_time.header["extent"] == [START_NS / MS, (START_NS + 297 * SECOND_NS) / MS]
    relative = charts.draw(reader, runs, question(x="relative", cells=64))
    width = relative.header["width"]
    x = relative.header["x0"] + np.arange(relative.header["cells"]) * width
    at = STATS.index("seconds")
    for r, start in enumerate(starts):
        seconds = relative.values[0, r, at]
        filled = ~np.isnan(seconds)
        # a cell holds what was logged within it, give or take the one cell that the start lies in
        assert (np.abs(seconds[filled] * 1000 - x[filled]) <= 2 * width).all()
        last = START_NS + (297 if r == 0 else 199) * SECOND_NS
        assert np.nanmax(seconds) == pytest.approx((last - start) / 1e9)


def test_no_run_and_nothing_logged_still_make_an_answer(reader, runs):
    charts = Charts()
    nothing = charts.draw(reader, [], question())
    assert nothing.values.shape[:2] == (1, 0)
    assert charts.draw(reader, runs, question(names=("none",))).header["extent"] is None


def test_what_was_drawn_is_not_read_again_until_the_run_changes(reader, runs, monkeypatch):
    charts, asked = Charts(), []
    cells = reader.cells
    monkeypatch.setattr(
        reader,
        "cells",
        lambda run, names, **how: asked.append(list(names)) or cells(run, names, **how),
    )
    first = charts.draw(reader, runs, question()).values
    np.testing.assert_array_equal(charts.draw(reader, runs, question()).values, first)
    assert asked == [["loss"], ["loss"]]
    charts.draw(reader, runs[:1], question(names=("loss", "neg"), lo=0, hi=297))
    assert asked[2:] == [["neg"]]


def test_the_samplers_metrics_are_apart(home):
    homes = HomeBuilder(home)
    run = homes.run("s")
    run.stream().log({"loss": 1.0}, 1)
    run.stream(role="sampler").log({"system/cpu_percent": 5.0}, 1)
    run.close()
    reader = open_home(home)
    runs = RunIndex(reader.home, TurnedClock()).get(reader, ["s"])
    name = ("system/cpu_percent",)
    shown = Charts().draw(reader, runs, question(names=name, x="relative", is_system=True))
    assert np.nanmax(shown.values[0, 0, 0]) == 5.0
    assert Charts().draw(reader, runs, question(names=name)).header["extent"] is None
