"""System, gradients, histograms, parallel coordinates, step times: from journals to what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.plots import NothingToDraw, figure, read
from exptrack_daemon.plots.configs import MISSING
from exptrack_daemon.plots.gradients import in_order
from exptrack_daemon.plots.histograms import Counts, counts_of, ridges_of
from exptrack_daemon.plots.parallel import scale_of
from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Array, Histogram, Row
from tests.support.homes import START_NS, HomeBuilder

NAN = float("nan")


def array_of(values, dtype="f8") -> Array:
    values = np.asarray(values, f"<{dtype}")
    return Array(dtype, list(values.shape), 0, values.tobytes())


@pytest.fixture
def builder(home):
    return HomeBuilder(home)


@pytest.fixture
def reader(builder):
    run = builder.run("r")
    stream = run.stream()
    for step in range(20):
        values = {f"gradients/norm/layers.{n}.weight": 10.0**-n for n in (0, 2, 10)}
        values["gradients/norm/layers.2.weight"] = NAN if step == 7 else 0.0
        phases = {"optimizer": 1.0, "data": 2.0, "sync": 0.5, "other": 0.25}
        values |= {f"performance/step/{name}_s": spent for name, spent in phases.items()}
        stream.rows(Row(step, START_NS + step * 10**9, values))
    for step in (5, 0):
        counts, edges = np.histogram(np.arange(100.0) + step, 20)
        parts = {"counts": array_of(counts, "i8"), "edges": array_of(edges)}
        stream.put(Histogram(name="w", step=step, time_ns=START_NS, **parts))
    sampler = run.stream(role="sampler")
    sampled = {"system/gpu/0/utilization_percent": 50.0, "system/gpu/1/utilization_percent": 60.0,
               "system/memory_used_bytes": 2**33, "system/cpu_percent": 10.0}  # fmt: skip
    sampler.rows(*[Row(n, START_NS + n * 2 * 10**9, sampled) for n in range(10)])
    run.close()
    builder.run("bare").stream().log({"loss": 1.0})
    return open_home(builder.path)


@pytest.mark.parametrize("kind", ["system", "gradients", "histograms", "steps", "parallel"])
def test_a_run_that_has_none_of_it_says_what_records_it(reader, kind):
    with pytest.raises(NothingToDraw, match=r"bare|do not differ"):
        read(reader, kind, ["bare"])


def test_system_panels_by_sort_with_training_steps_above(reader):
    drawn = figure(reader, "system", ["r"])
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == ["GPU utilisation", "CPU of the node", "Memory"]
    assert [t.get_text() for t in drawn.axes[0].get_legend().get_texts()] == ["gpu 0", "gpu 1"]
    assert drawn.axes[2].yaxis.get_major_formatter()(2.0**33) == "8 GiB"
    steps = drawn.axes[0].child_axes[0].xaxis.get_major_formatter()
    assert [steps(seconds) for seconds in (0, 7, 19, 40)] == ["0", "7", "19", ""]


def test_layers_stand_in_the_order_of_their_numbers(reader):
    data = read(reader, "gradients", ["r"])
    assert data.layers == ["layers.0.weight", "layers.2.weight", "layers.10.weight"]
    assert data.norms[:, 0].tolist() == [1.0, 0.0, 1e-10]
    assert np.argwhere(data.odd).tolist() == [[1, 7]]
    assert sorted(["b10", "b9", "a"], key=in_order) == ["a", "b9", "b10"]


def test_the_heat_map_marks_what_is_not_finite(reader):
    drawn = figure(reader, "gradients", ["r"])
    (marks,) = drawn.axes[0].lines
    assert (marks.get_xdata().tolist(), marks.get_ydata().tolist()) == ([7.0], [1.5])
    assert drawn.axes[0].collections[0].get_array().shape == (3, 20)


def test_ridges_by_step_with_all_that_was_counted(reader):
    ridges = read(reader, "histograms", ["r"]).ridges["w"]
    assert list(ridges.steps) == [0, 5]
    width = ridges.places[1] - ridges.places[0]
    assert (ridges.density.sum(axis=1) * width).tolist() == pytest.approx([1, 1], abs=0.02)
    figure(reader, "histograms", ["r"])


@pytest.mark.parametrize(
    "item",
    [
        {"values": array_of([])},
        {"values": array_of([NAN])},
        {"values": Array("f8", [3], 0, b"short")},
        {"counts": array_of([1.0]), "edges": array_of([1.0])},
        {"counts": array_of([0.0]), "edges": array_of([1.0, 2.0])},
        {"counts": array_of([-1.0, 3.0]), "edges": array_of([1.0, 2.0, 3.0])},
        {"counts": array_of([1.0]), "edges": array_of([2.0, 1.0])},
        {"counts": array_of([1.0]), "edges": array_of([0.0, np.inf])},
    ],
)
def test_a_histogram_that_holds_nothing_is_passed_over(item):
    assert counts_of(Histogram(name="h", step=0, time_ns=0, **item)) is None


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [0.0] * 9, [1e300, -1e300], [1e-320, 0]])
def test_raw_values_are_counted_here(values):
    found = counts_of(Histogram(name="h", step=0, time_ns=0, values=array_of(values)))
    assert found.counts.sum() == len(values)
    assert np.isfinite(ridges_of([found]).density).all()


def test_of_very_many_steps_the_first_and_the_last_stay():
    many = [Counts(step, np.ones(3), np.arange(4.0)) for step in range(1_000)]
    steps = ridges_of(many).steps
    assert (len(steps), steps[0], steps[-1]) == (40, 0, 999)


def test_numbers_stand_by_size_and_wide_ones_on_a_logarithmic_scale():
    scale = scale_of("lr", [1e-4, 1e-3, 1e-2, MISSING])
    assert scale.at.tolist() == pytest.approx([0, 0.5, 1, -0.1])
    assert (scale.is_log, scale.has_missing) == (True, True)
    assert scale_of("n", [1, 2, 3]).at.tolist() == [0, 0.5, 1]
    assert [text for _, text in scale_of("n", list(range(2, 9))).ticks] == list("2345678")


def test_all_else_stands_by_category():
    scale = scale_of("opt", ["sgd", "adam", None, "sgd", True])
    assert [text for _, text in scale.ticks] == ["adam", "sgd", "true"]
    assert scale.at[0] == scale.at[3] != scale.at[1]
    assert scale.at[2] < 0


def test_runs_are_coloured_by_the_metric_and_grey_without_it(builder):
    for number, lr in enumerate((0.1, 0.01, 0.001)):
        run = builder.run(f"p{number}")
        stream = run.stream(config={"lr": lr, "same": 1, "seed": number})
        stream.log({"val/loss": NAN if number == 2 else lr})
        run.close()
    reader = open_home(builder.path)
    data = read(reader, "parallel", ["p0", "p1", "p2"])
    assert [scale.name for scale in data.scales] == ["lr", "val/loss"]
    assert data.values.tolist()[:2] == [0.1, 0.01]
    drawn = figure(reader, "parallel", ["p0", "p1", "p2"])
    assert sorted(patch.get_linestyle() for patch in drawn.axes[0].patches) == ["-", "-", ":"]


def test_phases_stand_in_the_order_of_a_step(reader):
    data = read(reader, "steps", ["r"])
    assert data.phases == ["data", "optimizer", "sync", "other"]
    assert data.totals.tolist() == [2.0, 1.0, 0.5, 0.25]
    drawn = figure(reader, "steps", ["r"])
    words = [text.get_text().strip() for text in drawn.axes[1].texts]
    assert words == ["2 s  (53%)", "1 s  (27%)", "500 ms  (13%)", "250 ms  (7%)"]
    assert len(drawn.axes[0].collections) == 4


def test_more_phases_than_colours_are_gathered(builder):
    run = builder.run("many")
    values = {f"performance/step/p{n:02d}_s": 1.0 + n for n in range(20)}
    run.stream().log(values)
    run.close()
    drawn = figure(open_home(builder.path), "steps", ["many"])
    labels = [text.get_text() for text in drawn.axes[1].get_yticklabels()]
    assert labels == [*(f"p{n}" for n in range(13, 20)), "other"]
