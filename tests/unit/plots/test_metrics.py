"""Any metrics of any runs: which are chosen, what stands on x, and what a panel shows."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.plots import NothingToDraw, figure, read
from exptrack_daemon.plots.reading import as_days, epoch_of
from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder


@pytest.fixture
def reader(home):
    builder = HomeBuilder(home)
    for number in range(3):
        run = builder.run(f"r{number}")
        stream = run.stream(name="_same" if number else "first")
        stream.rows(
            *[
                Row(
                    step,
                    START_NS + number * 10**9 + step * 10**8,
                    {"train/loss": 10.0 ** -(step / 50), "epoch": step // 10, "b/x": step - 50},
                )
                for step in range(100)
            ]
        )
        stream.log({"epoch/loss": 1.0}, 3)
        run.stream(role="sampler").log({"system/cpu_percent": 50.0}, 0)
        run.close()
    return open_home(home)


def lines(axes):
    return [
        line for line in axes.lines if len(line.get_xdata()) and line.get_transform() is not None
    ]


def test_a_panel_a_metric_and_a_line_a_run(reader):
    drawn = figure(reader, "metrics", ["r0", "r1", "r2"], metrics=["train/*", "b/x"], smooth=0)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["train/loss", "b/x"]
    assert [len(axes.lines) for axes in drawn.axes] == [3, 3]
    names = [text.get_text().strip() for text in drawn.legends[0].get_texts()]
    assert names == ["first", "_same (r1)", "_same (r2)"]


def test_what_one_looks_at_first_is_chosen_first(reader):
    names = list(read(reader, "metrics", ["r0"]).lines)
    assert names[:2] == ["epoch/loss", "train/loss"]
    assert "system/cpu_percent" not in names
    assert list(read(reader, "metrics", ["r0"], metrics="system/*").lines) == ["system/cpu_percent"]


def test_an_unknown_metric_is_told_with_near_names(reader):
    with pytest.raises(NothingToDraw, match="did you mean train/loss"):
        read(reader, "metrics", ["r0"], metrics=["train/lozz"])


def test_x_is_time_since_each_run_began_or_the_time_of_day_or_the_epoch(reader):
    def first_and_last(across):
        curve = read(reader, "metrics", ["r1"], metrics=["train/loss"], x=across).lines
        return curve["train/loss"][0].x[[0, -1]]

    assert first_and_last("relative") == pytest.approx([0, 9.9])
    assert first_and_last("wall") == pytest.approx(
        [(START_NS + 10**9) / 86_400e9, (START_NS + 10.9e9) / 86_400e9], abs=1e-11
    )
    assert first_and_last("epoch") == pytest.approx([0, 9.9])


def test_a_metric_that_is_logged_by_epoch_stays_at_its_epoch(reader):
    found = read(reader, "metrics", ["r0"], metrics=["epoch/loss"], x="epoch").lines
    assert found["epoch/loss"][0].x.tolist() == [3]


def test_without_epochs_there_is_no_axis_of_epochs(home):
    HomeBuilder(home).finished_run("r")
    with pytest.raises(NothingToDraw, match="no metric of epochs"):
        read(open_home(home), "metrics", ["r"], x="epoch")


def test_a_logarithmic_axis_says_what_it_does_not_show(reader):
    drawn = figure(reader, "metrics", ["r0"], metrics=["b/x"], log=True)
    assert drawn.axes[0].get_yscale() == "log"
    assert "not shown: 51 of 0 or less" in drawn.axes[0].get_title(loc="right")


@pytest.mark.parametrize("across", ["step", "relative", "wall", "epoch"])
def test_the_x_axis_names_its_unit(reader, across):
    drawn = figure(
        reader, "metrics", ["r0"], metrics=["train/loss"], x=across, log_x=across != "wall"
    )
    assert drawn.axes[0].get_xlabel().split(" (")[0] in (
        "step",
        "time since start",
        "time",
        "epoch",
    )


def test_of_fifty_runs_colours_say_the_order(home):
    builder = HomeBuilder(home)
    names = [f"r{number:02d}" for number in range(50)]
    for name in names:
        builder.finished_run(name)
    drawn = figure(open_home(home), "metrics", names, metrics=["loss"])
    colours = [line.get_color() for line in drawn.axes[0].lines]
    assert len(set(map(tuple, colours))) == 50
    assert drawn.legends[0].get_texts()[-1].get_text() == "colours: in the order given"


def test_epochs_grow_evenly_between_their_first_steps():
    to_x = epoch_of(np.arange(30.0), np.repeat([0.0, 1, 2], 10))
    assert to_x(np.array([0, 5, 10, 29])).tolist() == pytest.approx([0, 0.5, 1, 2.9])


def test_days_keep_microseconds():
    times = np.array([START_NS, START_NS + 1_000], np.int64)
    assert np.diff(as_days(times))[0] * 86_400e9 == pytest.approx(1_000, rel=0.5)
