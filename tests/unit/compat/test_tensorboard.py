"""The SummaryWriter drop-in, method by method, read back from the journal."""

from __future__ import annotations

import itertools
import json
import logging
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exptrack_agent.compat.tensorboard import SummaryWriter, places
from exptrack_agent.compat.tensorboard import writer as writer_module
from exptrack_agent.compat.tensorboard.curves import raw_bins
from exptrack_agent.compat.tensorboard.pictures import as_picture, as_strip
from tests.support.processes import trainer
from tests.unit.integrations.reading import Kept, recovered
from tests.unit.torch.slots_here import landing


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scripts run; their writers are offline."""
    monkeypatch.setenv("EXPTRACK_HOME", str(home))
    monkeypatch.setenv("EXPTRACK_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    places._begun.clear()
    return tmp_path


def only(home: Path) -> Kept:
    (run,) = recovered(home)
    return run


def numbers(array: Any) -> list[float]:
    kind = {"f8": "<f8", "f4": "<f4", "i8": "<i8", "u1": "u1"}[array.dtype]
    return np.frombuffer(array.data, kind).tolist()


def test_scalars_keep_their_names_steps_and_values(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        writer.add_scalar("Loss/train", 0.5, 7)
        writer.add_scalar("Loss/train", torch.tensor(0.25), 8)
        writer.add_scalar("Loss/train", np.float32(0.125), np.int64(9))
        writer.add_scalar("a b/ü:1", 3, -5)
        writer.add_scalar("nan", float("nan"), 0)
        writer.add_scalar("one", torch.tensor([2.0]), 1)
        writer.add_scalar("far", 1.0, 2**70)
        writer.add_scalar("x" * 300, 1.0, 2**62)
    run = only(home)
    assert run.series("Loss/train") == [(7, 0.5), (8, 0.25), (9, 0.125)]
    assert run.series("a b/ü:1") == [(-5, 3)]
    assert run.series("nan")[0][1] != run.series("nan")[0][1]
    assert run.series("one") == [(1, 2.0)]
    assert run.series("far") == [(2**63 - 1, 1.0)]
    assert run.series("x" * 300) == [(2**62, 1.0)]
    assert run.view.status.name == "finished"


def test_without_steps_each_tag_counts_by_itself(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        for value in (1.0, 2.0):
            writer.add_scalar("a", value)
        writer.add_scalar("b", 3.0)
    run = only(home)
    assert run.series("a") == [(0, 1.0), (1, 2.0)]
    assert run.series("b") == [(0, 3.0)]


def test_a_walltime_is_the_time_of_the_point(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        writer.add_scalar("a", 1.0, 0, walltime=1234.5)
        writer.add_scalar("a", np.float64(2.0), 1, 1235)
        writer.add_text("t", "hello", 0, walltime=99)
    run = only(home)
    assert [point.time_ns for point in run.points] == [1_234_500_000_000, 1_235_000_000_000]
    assert run.media("TextItem")[0].time_ns == 99_000_000_000


def test_many_scalars_of_many_names_all_arrive_in_order(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        for step in range(40_000):  # past the first fences and segments
            writer.add_scalar(f"m{step % 7}", step / 2, step)
    points = only(home).points
    assert [point.step for point in points] == list(range(40_000))
    assert all(point.value == point.step / 2 for point in points)


def test_every_scalar_whose_call_returned_survives_sigkill(home: Path):
    script = """
from exptrack_agent.compat.tensorboard import SummaryWriter
writer = SummaryWriter("runs/killed", autostart=False)
for step in range(3_000):
    writer.add_scalar(f"m{step % 3}", step / 2, step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = trainer(script, home)
    assert process.wait(30) == -signal.SIGKILL
    process.communicate()
    run = only(home)
    assert run.view.status.name == "crashed"
    assert [(point.step, point.value) for point in run.points] == [(n, n / 2) for n in range(3_000)]


def test_a_signal_handler_that_logs_in_between_loses_nothing(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        calls = itertools.count()

        def log_too(_number: int, _frame: object) -> None:
            writer.add_scalar("handler", 1.0, next(calls))

        before = signal.signal(signal.SIGALRM, log_too)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            for step in range(20_000):
                writer.add_scalar("main", 0.5, step)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        handled = next(calls)
    run = only(home)
    assert handled > 3
    assert [step for step, _ in run.series("main")] == list(range(20_000))
    # sorted: a handler may itself be interrupted before it logs
    assert sorted(step for step, _ in run.series("handler")) == list(range(handled))


def test_the_folder_decides_project_name_and_place(folder: Path, home: Path):
    writer = SummaryWriter("runs/one", tags=["x"])
    writer.add_scalar("a", 1.0, 0)
    writer.close()
    info = only(home).view.facts.run
    assert (info.project, info.name, info.tags) == ("runs", "one", ("x",))
    place = {"directory": str(folder / "runs"), "folder": "one"}
    assert info.sink_options["tensorboard"] == place
    assert writer.get_logdir() == writer.log_dir == "runs/one"


def test_without_a_folder_it_is_named_by_date_host_and_comment(folder: Path):
    writer = SummaryWriter(comment="_LR_0.1", mode="disabled")
    assert writer.log_dir.startswith("runs/")
    assert writer.log_dir.endswith("_LR_0.1")
    writer.close()


def test_what_is_added_after_close_opens_the_run_again(folder: Path, home: Path):
    writer = SummaryWriter("runs/one")
    writer.add_scalar("a", 1.0, 0)
    writer.close()
    assert writer.run is None
    writer.add_scalar("a", 2.0, 1)
    writer.close()
    run = only(home)
    assert sorted(run.series("a")) == [(0, 1.0), (1, 2.0)]
    assert run.view.facts.attempts == 2


def test_a_second_writer_of_a_folder_goes_on_with_its_run_and_a_removed_folder_is_a_new_start(
    folder: Path, home: Path
):
    for value in (1.0, 2.0):
        with SummaryWriter("runs/one", purge_step=1) as writer:
            writer.add_scalar("a", value, 1)
    (run,) = recovered(home)
    place = folder / "runs" / "one"
    place.mkdir(parents=True)
    (place / "exptrack.run").write_text(run.view.id)  # as the daemon does
    with SummaryWriter(place) as writer:
        writer.add_scalar("a", 3.0, 1)
    (run,) = recovered(home)
    assert sorted(value for _, value in run.series("a")) == [1.0, 2.0, 3.0]
    (place / "exptrack.run").write_text("somebody-elses")
    SummaryWriter(place).close()
    assert len(recovered(home)) == 2


def test_several_scalars_are_one_row_below_the_main_tag(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        writer.add_scalars("waves", {"sin": 0.0, "cos": torch.tensor(1.0)}, 3)
    run = only(home)
    assert run.view.facts.rows == 1
    assert run.series("waves/sin") == [(3, 0.0)]
    assert run.series("waves/cos") == [(3, 1.0)]


def test_histograms_travel_as_values_or_as_the_bins_that_were_given(folder: Path, home: Path):
    with SummaryWriter("runs/one") as writer:
        writer.add_histogram("h", torch.tensor([1.0, 2.0]), 0)
        writer.add_histogram("e", np.array([0.5, 1.5, 1.6]), 0, bins=[0, 1, 2])
        writer.add_histogram_raw("r", 0, 2, 3, 3.5, 5.0, [1.0, 1e300], [1, 2], 4)
        with pytest.raises(ValueError, match="bucket_limits"):
            writer.add_histogram_raw("r", 0, 2, 3, 3.5, 5.0, [1.0], [1, 2], 4)
    run = only(home)
    h, e, r = (run.media("Histogram", name)[0] for name in "her")
    assert numbers(h.values) == [1.0, 2.0]
    assert (numbers(e.counts), numbers(e.edges)) == ([1, 2], [0, 1, 2])
    assert (numbers(r.counts), numbers(r.edges), r.step) == ([1, 2], [0, 1, 2], 4)


def test_raw_bins_begin_at_the_least_value():
    counts, edges = raw_bins(-3, 5, [0.0, 5.0], [1, 1])
    assert (counts.tolist(), edges.tolist()) == ([1, 1], [-3, 0, 5])


@pytest.mark.parametrize(
    ("shape", "order", "shown"),
    [
        ((3, 4, 5), "CHW", (4, 5, 3)),
        ((4, 5, 3), "HWC", (4, 5, 3)),
        ((4, 5), "HW", (4, 5, 1)),
        ((5, 4), "WH", (4, 5, 1)),
        ((10, 1, 4, 5), "NCHW", (8, 40, 1)),
        ((3, 4, 5, 3), "NHWC", (4, 15, 3)),
        ((2, 4, 5), "CHW", (4, 5, 1)),
    ],
)
def test_pictures_come_in_any_order_of_dimensions(shape: Any, order: str, shown: Any):
    assert as_picture(np.zeros(shape), order).shape == shown


def test_a_grid_holds_every_picture_at_its_place():
    batch = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    assert as_picture(batch, "NCHW")[..., 0].tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [8, 9, 0, 0, 0, 0, 0, 0],
    ]


def test_a_video_becomes_frames_in_a_row():
    assert as_strip(torch.zeros(2, 20, 3, 4, 5)).shape == (8, 40, 3)
    with pytest.raises(ValueError, match="a video has the shape"):
        as_strip(np.zeros((3, 4)))


def test_pictures_figures_and_boxes_are_recorded(folder: Path, home: Path):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with SummaryWriter("runs/one") as writer:
        writer.add_image("image", torch.rand(3, 4, 5), 1)
        writer.add_images("images", np.zeros((2, 3, 4, 5), np.uint8), 1)
        boxes = torch.tensor([[0, 0, 3, 3]])
        writer.add_image_with_boxes("boxes", torch.zeros(3, 8, 8), boxes, 1, rescale=2, labels="x")
        writer.add_figure("figure", plt.figure(), 1)
        writer.add_figure("figures", [plt.figure(), plt.figure()], 2)
        writer.add_video("video", torch.zeros(1, 3, 3, 4, 5), 1)
    assert plt.get_fignums() == []
    images = {image.name: image for image in only(home).media("Image")}
    assert set(images) == {
        *("image", "images", "boxes", "figure"),
        "figures/0",
        "figures/1",
        "video",
    }
    assert images["image"].pixels.shape == [4, 5, 3]
    assert images["boxes"].pixels.shape == [16, 16, 3]
    assert 255 in numbers(images["boxes"].pixels)
    assert images["figure"].figure
    assert images["figures/1"].step == 2


def test_a_picture_of_the_wrong_shape_is_said_and_training_goes_on(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
):
    with SummaryWriter("runs/one") as writer:
        writer.add_image("image", np.zeros((4, 5)), 1)
    assert "does not fit the shape" in caplog.text
    assert not only(home).media("Image")


def test_curves_become_tables(folder: Path, home: Path):
    labels, scores = [0, 0, 1, 1], torch.tensor([0.1, 0.4, 0.35, 0.8])
    with SummaryWriter("runs/one") as writer:
        writer.add_pr_curve("pr", labels, scores, 1, num_thresholds=11)
        writer.add_pr_curve_raw("raw", [1], [0], [1], [0], [1.0], [0.5], 1)
    run = only(home)
    columns, rows = run.table("pr")
    assert columns[:3] == ["threshold", "precision", "recall"]
    assert len(rows) == 11
    assert rows[0] == [0.0, 0.5, 1.0, 2.0, 2.0, 0.0, 0.0]
    assert rows[5] == [0.5, 1.0, 0.5, 1.0, 0.0, 2.0, 1.0]
    assert run.table("raw")[1] == [[0.0, 1.0, 0.5, 1.0, 0.0, 1.0, 0.0]]


def test_the_curve_is_the_one_that_torch_computes(folder: Path, home: Path):
    from torch.utils.tensorboard.summary import compute_curve

    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, 50), generator.random(50)
    theirs = compute_curve(labels, scores, num_thresholds=20)
    with SummaryWriter("runs/one") as writer:
        writer.add_pr_curve("pr", labels, scores, num_thresholds=20)
    rows = np.array(only(home).table("pr")[1])
    np.testing.assert_allclose(rows[:, [3, 4, 5, 6, 1, 2]].T, theirs, atol=1e-6)


def test_texts_hparams_and_graphs(folder: Path, home: Path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    with SummaryWriter("runs/one") as writer:
        writer.add_text("note", "**bold**", 2)
        writer.add_graph(model, torch.zeros(1, 2))
        writer.add_hparams({"lr": 0.1}, {"hparam/accuracy": 0.5})
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([], {})  # type: ignore[arg-type]
    run = only(home)
    assert run.texts("note") == ["**bold**"]
    assert {node["op"] for node in json.loads(run.media("Graph")[0].nodes)} >= {"Linear", "ReLU"}
    assert json.loads(run.media("Hparams")[0].metrics) == {"hparam/accuracy": 0.5}
    assert run.config == {"lr": 0.1}


def test_what_exptrack_has_no_place_for_is_said_once_each(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "exptrack"), SummaryWriter("runs/one") as writer:
        for _ in range(2):
            writer.add_embedding(np.zeros((2, 2)), ["a", "b"], tag="e")
            writer.add_mesh("mesh", np.zeros((1, 3, 3)))
            writer.add_custom_scalars({})
            writer.add_custom_scalars_multilinechart(["a"])
            writer.add_custom_scalars_marginchart(["a", "b", "c"])
            writer.add_onnx_graph("x")
            writer.add_audio("sound", torch.zeros(1, 44_100), 1)
            writer.add_tensor("tensor", torch.zeros(3), 1)
            writer.add_tensor("number", torch.tensor(2.0), 1)
            writer.add_graph(torch.nn.Linear(1, 1))
    said = [record.getMessage() for record in caplog.records]
    for method in ("embedding", "mesh", "custom_scalars", "onnx_graph", "audio", "tensor", "graph"):
        assert len([text for text in said if f"add_{method}:" in text]) == 1, method
    run = only(home)
    assert run.texts("sound")[0] == "A sound of 1.00 s (44,100 samples), not kept."
    assert run.series("number") == [(1, 2.0)] * 2
    assert len(run.media("Histogram", "tensor")) == 2


def test_it_has_every_method_of_the_original():
    from torch.utils.tensorboard import SummaryWriter as Original

    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Original) <= public(SummaryWriter)


def test_an_exception_makes_the_run_failed(folder: Path, home: Path):
    def fail() -> None:
        with SummaryWriter("runs/one") as writer:
            writer.add_scalar("a", 1.0, 0)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert only(home).view.status.name == "failed"


def test_a_disabled_writer_takes_everything(folder: Path, home: Path):
    with SummaryWriter("runs/one", mode="disabled") as writer:
        writer.add_scalar("a", 1.0, 0)
        writer.add_scalar("a", 1.0, 0, walltime=1)
        writer.add_text("t", "x")
        writer.flush()
    assert recovered(home) == []


def test_a_distribution_on_a_device_is_binned_there(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer_module, "is_on_accelerator", torch.is_tensor)
    with SummaryWriter("runs/device") as writer:
        writer.run.landing = landing()
        writer.add_histogram("w", torch.ones(9), 4, walltime=2.0)
    (item,) = only(home).media("Histogram")
    assert (item.name, item.step, item.time_ns, item.values) == ("w", 4, 2 * 10**9, None)
