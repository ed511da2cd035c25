"""The wandb drop-in, call by call, read back from the journal."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import exptrack_agent.compat.wandb as wandb
from exptrack_agent import Misuse
from exptrack_agent.compat.wandb import session
from exptrack_agent.compat.wandb.metrics import Goals
from exptrack_agent.compat.wandb.resumed import next_step
from exptrack_proto.records import ConfigUpdate
from tests.unit.integrations.reading import Kept, recovered


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EXPTRACK_HOME", str(home))
    monkeypatch.setenv("EXPTRACK_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    for name in ("MODE", "PROJECT", "NAME", "RUN_ID", "TAGS", "ENTITY", "DISABLED"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    yield
    wandb.finish()


def only(home: Path) -> Kept:
    wandb.finish()
    (run,) = recovered(home)
    return run


def test_the_step_after_the_last_one_is_known_from_what_was_recorded(home: Path):
    run = wandb.init(id="before")
    run.log({"a": 1}, step=41)
    run.log({"a": 1}, step=7)
    only(home)
    assert next_step(home, "before") == 42
    assert next_step(home, "nobody") == 0


def test_a_run_that_is_gone_on_with_counts_from_there(daemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EXPTRACK_MODE", "online")
    for _ in range(2):
        wandb.init(id="again", autostart=False)
        begun_at = wandb.run.step
        for _ in range(3):
            wandb.log({"a": 1})
        wandb.run.exptrack.flush(timeout_s=10)
        wandb.finish()
    assert begun_at == 3


# --- steps ----------------------------------------------------------------------------------------


def test_without_steps_each_call_is_one_further_and_commit_false_waits(home: Path):
    wandb.init(project="p")
    wandb.log({"a": 1.0})
    wandb.log({"a": 2.0}, commit=False)
    wandb.log({"b": 3.0})
    wandb.log({"a": 4.0})
    run = only(home)
    assert run.series("a") == [(0, 1.0), (1, 2.0), (2, 4.0)]
    assert run.series("b") == [(1, 3.0)]


def test_with_steps_equal_ones_belong_together_and_calls_without_go_on_from_there(home: Path):
    run = wandb.init()
    run.log({"a": 1}, step=5)
    run.log({"b": 2}, step=5)
    run.log({"c": 3})
    assert run.step == 6
    run.log({"a": 4}, step=8, commit=True)
    assert run.step == 9
    kept = only(home)
    assert [kept.series(name) for name in "abc"] == [[(5, 1), (8, 4)], [(5, 2)], [(5, 3)]]


def test_a_smaller_step_than_before_is_kept_which_wandb_would_drop(home: Path):
    wandb.init()
    wandb.log({"a": 1.0}, step=10)
    wandb.log({"a": 0.5}, step=3)
    wandb.log({"b": 2.0})
    run = only(home)
    assert run.series("a") == [(10, 1.0), (3, 0.5)]
    assert run.series("b") == [(10, 2.0)]


# --- values ---------------------------------------------------------------------------------------


def test_numbers_of_all_kinds_and_nested_ones(home: Path):
    wandb.init()
    row = {"t": torch.tensor(0.5), "n": np.float32(0.25), "s": "text", "none": None, "ok": True}
    wandb.log({**row, "deep": {"a": 1, "b": {"c": torch.tensor([2.0])}}})
    run = only(home)
    assert {point.name: point.value for point in run.points if point.value is not None} == {
        "t": 0.5,
        "n": 0.25,
        "s": "text",
        "ok": True,
        "deep/a": 1,
        "deep/b/c": 2.0,
    }


def test_arrays_and_lists_of_numbers_become_histograms_as_wandb_shows_them(home: Path):
    wandb.init()
    wandb.log({"array": np.arange(4.0), "tensor": torch.zeros(2, 2), "list": [1, 2.5]})
    wandb.log({"words": ["a", "b"], "h": wandb.Histogram([1, 2, 3])})
    wandb.log({"np": wandb.Histogram(np_histogram=np.histogram([1, 2, 3]))})
    run = only(home)
    names = [item.name for item in run.media("Histogram")]
    assert names == ["array", "tensor", "list", "h", "np"]
    assert run.texts("words") == ["['a', 'b']"]


def test_pictures_of_every_origin(home: Path, tmp_path: Path):
    import matplotlib as mpl
    from PIL import Image as Pillow

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    Pillow.new("RGB", (5, 4)).save(tmp_path / "x.jpg")
    Pillow.new("RGB", (5, 4)).save(tmp_path / "x.png")
    wandb.init()
    wandb.log(
        {
            "array": wandb.Image(np.zeros((4, 5, 3), np.uint8), caption="c"),
            "tensor": wandb.Image(torch.zeros(3, 4, 5)),
            "batch": wandb.Image(torch.zeros(2, 3, 4, 5)),
            "jpeg": wandb.Image("x.jpg", boxes={"a": {}}),
            "png": wandb.Image(tmp_path / "x.png"),
            "pil": Pillow.new("RGB", (5, 4)),
            "figure": plt.figure(),
            "drawn": wandb.Image(plt.figure()),
            "pyplot": plt,
            "several": [wandb.Image(np.zeros((4, 5))), wandb.Image(np.zeros((4, 5)))],
            "one": [wandb.Image(np.zeros((4, 5)))],
        }
    )
    plt.close("all")
    images = {image.name: image for image in only(home).media("Image")}
    assert set(images) == {
        *("array", "tensor", "batch", "jpeg", "png", "pil", "figure", "drawn", "pyplot"),
        *("several/0", "several/1", "one"),
    }
    assert images["array"].caption == "c"
    assert images["batch"].pixels.shape == [4, 10, 3]
    assert images["jpeg"].pixels.shape == [4, 5, 3]
    assert images["png"].format == "png"
    assert all(images[name].figure for name in ("figure", "drawn", "pyplot"))


def test_tables_grow_by_rows_and_columns(home: Path):
    table = wandb.Table(columns=["a", "b"], data=[[1, "x"]])
    table.add_data(2, "y")
    table.add_row(3, "z")
    table.add_column("c", [0.1, 0.2, 0.3])
    assert table.get_column("c") == [0.1, 0.2, 0.3]
    assert table.data == table.rows
    with pytest.raises(ValueError, match="3 rows"):
        table.add_column("d", [1])
    empty = wandb.Table()
    empty.add_column("x", np.array([1, 2]))
    wandb.init()
    wandb.log({"t": table, "empty": empty, "np": wandb.Table(data=np.eye(2), columns=["x", "y"])})
    run = only(home)
    assert run.table("t") == (["a", "b", "c"], [[1, "x", 0.1], [2, "y", 0.2], [3, "z", 0.3]])
    assert run.table("empty") == (["x"], [[1], [2]])
    assert run.table("np")[1] == [[1.0, 0.0], [0.0, 1.0]]
    assert wandb.Table().columns == ["Input", "Output", "Expected"]


def test_html_is_kept_as_its_source(home: Path, tmp_path: Path):
    (tmp_path / "page.html").write_text("<p>file</p>")
    wandb.init()
    pages = [
        wandb.Html("<p>text</p>"),
        wandb.Html("page.html"),
        wandb.Html(io.StringIO("<p>io</p>")),
    ]
    wandb.log({"pages": pages})
    run = only(home)
    assert [text.text for text in run.media("TextItem")] == [
        "<p>text</p>",
        "<p>file</p>",
        "<p>io</p>",
    ]


def test_media_without_a_kind_are_said_once_and_leave_a_text(
    home: Path, caplog: pytest.LogCaptureFixture
):
    wandb.init()
    for _ in range(2):
        wandb.log({"video": wandb.Video(np.zeros((2, 3, 4, 4)), fps=4, caption="walk")})
        wandb.log({"audio": wandb.Audio("x.wav", sample_rate=8000)})
        wandb.log({"chart": SimpleNamespace(to_plotly_json=dict)})
        wandb.log(
            {"roc": wandb.plot.roc_curve([1], [[0.5]]), "pr": wandb.plot.pr_curve([1], [0.5])}
        )
    run = only(home)
    assert run.texts("video")[0] == "Video of shape (2, 3, 4, 4), not kept. walk"
    assert run.texts("audio")[0] == "Audio x.wav, not kept."
    assert caplog.text.count("wandb.Video is not kept") == 1


def test_plots_are_tables(home: Path):
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    wandb.init()
    wandb.log(
        {
            "line": wandb.plot.line(table, "x", "y", title="t"),
            "scatter": wandb.plot.scatter(table, "x", "y"),
            "bar": wandb.plot.bar(table, "x", "y"),
            "histogram": wandb.plot.histogram(table, "x"),
            "series": wandb.plot.line_series([0, 1], [[1, 2], [3, 4]], keys=["a", "b"]),
            "confusion": wandb.plot.confusion_matrix(
                probs=[[0.9, 0.1], [0.2, 0.8]], y_true=[0, 0], class_names=["cat", "dog"]
            ),
        }
    )
    run = only(home)
    assert len(run.media("Table")) == 6
    assert run.table("series")[1] == [[0, "a", 1], [1, "a", 2], [0, "b", 3], [1, "b", 4]]
    assert run.table("confusion")[1][:2] == [["cat", "cat", 1], ["cat", "dog", 1]]
    with pytest.raises(ValueError, match="either probs or preds"):
        wandb.plot.confusion_matrix(y_true=[0])


def test_what_is_no_mapping_is_said_and_the_run_goes_on(
    home: Path, caplog: pytest.LogCaptureFixture
):
    wandb.init()
    wandb.log(3)  # type: ignore[arg-type]
    wandb.log({"a": object()})
    wandb.log({"a": 1})
    assert "log() takes a mapping" in caplog.text
    assert only(home).series("a") == [(2, 1)]


# --- config and summary -----------------------------------------------------------------------------


def test_config_is_there_by_item_and_attribute_and_guards_what_it_holds(home: Path):
    wandb.init(
        config={"lr": 0.1, "nested": {"a": 1}, "unwanted": 1}, config_exclude_keys=["unwanted"]
    )
    assert wandb.config.lr == wandb.config["lr"] == 0.1
    wandb.config.epochs = 3
    wandb.config["batch"] = 8
    wandb.config.update(argparse.Namespace(seed=1), width=4)
    wandb.config.setdefaults({"lr": 9, "depth": 2})
    wandb.config.lr = 0.1
    with pytest.raises(wandb.errors.ConfigError, match="allow_val_change"):
        wandb.config.lr = 0.2
    wandb.config.update({"lr": 0.2}, allow_val_change=True)
    with pytest.raises(AttributeError):
        _ = wandb.config.missing
    assert wandb.config.get("missing", 7) == 7
    assert "lr" in wandb.config
    assert wandb.config.as_dict()["depth"] == 2
    assert only(home).config == {
        "lr": 0.2,
        "nested": {"a": 1},
        "epochs": 3,
        "batch": 8,
        "seed": 1,
        "width": 4,
        "depth": 2,
    }


def test_config_comes_as_a_dataclass_a_file_or_changes_when_allowed(home: Path, tmp_path: Path):
    @dataclasses.dataclass
    class Settings:
        lr: float = 0.1

    run = wandb.init(config=Settings(), allow_val_change=True)
    run.config.lr = 0.3
    assert run.config.lr == 0.3
    run.finish()
    (tmp_path / "c.json").write_text('{"lr": 0.5}')
    (tmp_path / "c.yaml").write_text("lr:\n  desc: rate\n  value: 0.25\n")
    assert wandb.init(config="c.json", reinit=True).config.lr == 0.5
    assert wandb.init(config="c.yaml", reinit=True).config.lr == 0.25
    with pytest.raises(wandb.Error, match="config is a mapping"):
        wandb.init(config=3, reinit=True)


def test_arrays_in_a_config_are_not_compared_as_truth():
    wandb.init(mode="disabled", config={"a": np.zeros(2)})
    with pytest.raises(wandb.errors.ConfigError):
        wandb.config.a = np.zeros(2)


def test_what_was_defined_is_told_to_the_sink_and_stands_in_no_users_config(home: Path):
    run = wandb.init(config={"lr": 1})
    run.define_metric("loss", step_metric="epoch", summary="best", goal="maximize")
    run.define_metric("acc*", step_metric=wandb.define_metric("epoch", hidden=True))
    assert dict(wandb.config) == {"lr": 1}
    kept = only(home)
    assert kept.config == {"lr": 1}
    told = [item.config for item in kept.items if isinstance(item, ConfigUpdate)]
    assert json.loads(told[-1])["_wandb"]["metrics"] == {
        "loss": {"step_metric": "epoch", "summary": "max"},
        "epoch": {"hidden": True},
        "acc*": {"step_metric": "epoch"},
    }


def test_summary_holds_last_values_what_is_set_and_what_was_defined(home: Path):
    wandb.init()
    wandb.define_metric("loss", summary="min,max,mean,first", step_metric="epoch")
    wandb.define_metric("acc*", summary="best", goal="maximize")
    for loss in (3.0, 1.0, 2.0):
        wandb.log({"loss": loss, "accuracy": loss / 10, "other": 0})
    assert wandb.summary["loss"] == wandb.summary.loss == 2.0
    wandb.run.summary["best"] = 0.9
    wandb.run.summary.update({"again": 1})
    wandb.summary.third = 3
    summary = only(home).summary
    assert summary["loss"] == 2.0
    assert (summary["loss.min"], summary["loss.max"], summary["loss.mean"]) == (1.0, 3.0, 2.0)
    assert (summary["loss.first"], summary["accuracy.max"]) == (3.0, 0.3)
    assert (summary["best"], summary["again"], summary["third"]) == (0.9, 1, 3)


def test_goals_pass_over_what_is_no_number_and_refuse_what_is_no_summary():
    goals = Goals()
    assert not goals
    goals.define("a", "max", None)
    goals.see({"a": float("nan"), "b": 1})
    goals.see({"a": "text"})
    assert goals.found() == {}
    with pytest.raises(ValueError, match="median"):
        goals.define("a", "median", None)


# --- the run of the moment --------------------------------------------------------------------------


def test_before_init_and_after_finish_there_is_no_run():
    assert wandb.run is None
    with pytest.raises(wandb.Error, match=r"wandb\.init\(\) before wandb\.log\(\)"):
        wandb.log({"a": 1})
    for act in (
        lambda: wandb.config.lr,
        lambda: wandb.config["lr"],
        lambda: setattr(wandb.config, "lr", 1),
        lambda: wandb.summary.update({}),
        lambda: wandb.save("x"),
    ):
        with pytest.raises(wandb.Error, match=r"You must call wandb\.init"):
            act()
    run = wandb.init()
    assert wandb.run is run
    wandb.finish()
    assert wandb.run is None
    wandb.finish()


def test_a_second_init_returns_the_open_run_unless_asked_otherwise(home: Path):
    first = wandb.init(project="p")
    assert wandb.init(project="other") is first
    beside = wandb.init(reinit="create_new")
    assert wandb.run is first
    beside.finish()
    assert wandb.run is first
    second = wandb.init(reinit=True)
    assert second is not first
    assert first.exptrack.is_finished
    wandb.finish()
    assert len(recovered(home)) == 3


def test_the_identity_of_a_run_is_what_init_was_given(home: Path):
    run = wandb.init(
        project="p",
        entity="team",
        name="n",
        id="my:run",
        notes="long",
        tags=["a", "b"],
        group="g",
        job_type="eval",
        sinks=["tensorboard"],
    )
    assert (run.project, run.entity, run.name, run.id) == ("p", "team", "n", "my-run")
    assert (run.group, run.job_type, run.notes, run.path) == ("g", "eval", "long", "team/p/my-run")
    assert (run.offline, run.disabled, run.resumed, run.url, run.sweep_id) == (
        *(True, False, False),
        *(None, None),
    )
    assert run.get_url() is None
    assert Path(run.dir).is_dir()
    assert "drop-in" in repr(run)
    run.name = "renamed"
    kept = only(home)
    info = kept.view.facts.run
    assert (info.project, info.name, info.group, info.job_type) == ("p", "n", "g", "eval")
    assert (info.tags, info.notes, info.sinks) == (("a", "b"), "long", ("tensorboard",))
    assert info.sink_options["wandb"]["entity"] == "team"
    assert kept.view.facts.notes[0].text == "renamed to renamed"


def test_the_environment_is_honoured_below_settings_and_arguments(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {
        "PROJECT": "env-p",
        "NAME": "env-n",
        "RUN_ID": "env-id",
        "TAGS": "x, y",
        "ENTITY": "e",
        "NOTES": "n",
        "RUN_GROUP": "g",
        "JOB_TYPE": "j",
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    run = wandb.init(name="argument", settings=wandb.Settings(project="setting", run_name="lower"))
    assert (run.project, run.name, run.id) == ("setting", "argument", "env-id")
    assert (run.tags, run.entity, run.notes) == (("x", "y"), "e", "n")
    assert (run.group, run.job_type) == ("g", "j")


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [
        ("WANDB_MODE", "offline", "offline"),
        ("WANDB_MODE", "dryrun", "offline"),
        ("WANDB_MODE", "disabled", "disabled"),
        ("WANDB_DISABLED", "true", "disabled"),
    ],
)
def test_modes_of_the_environment(
    variable: str, value: str, mode: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, value)
    run = wandb.init()
    assert run.exptrack.mode == mode
    run.log({"a": 1.0})
    run.log({"image": wandb.Image(np.zeros((2, 2)))})


def test_a_mode_that_wandb_does_not_have_is_refused():
    with pytest.raises(ValueError, match="mode is one of"):
        wandb.init(mode="sometimes")


def test_a_run_with_an_id_is_gone_on_with(home: Path):
    for value in (1, 2):
        with wandb.init(id="same", resume="allow" if value == 2 else None) as run:
            run.log({"a": value}, step=value)
        (kept,) = recovered(home)
    assert kept.series("a") == [(1, 1), (2, 2)]
    assert wandb.init(id="same", resume="must").resumed
    wandb.finish()
    with pytest.raises(Misuse, match="exists"):
        wandb.init(id="same", resume="never")
    assert wandb.init(resume=True).id != "same"  # nothing to go on with, said
    wandb.finish()
    with pytest.raises(wandb.Error, match="resume is one of"):
        wandb.init(resume="perhaps")


def test_unknown_arguments_are_accepted_and_said_once(caplog: pytest.LogCaptureFixture):
    for _ in range(2):
        wandb.init(save_code=True, brand_new=1, dir="x", mode="disabled")
        wandb.finish()
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "'brand_new' is not known" in text]) == 1
    assert len([text for text in said if "'save_code' has no meaning" in text]) == 1


def test_an_exception_makes_the_run_failed(home: Path):
    def fail() -> None:
        with wandb.init() as run:
            run.log({"a": 1})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert only(home).view.status.name == "failed"


def test_summaries_are_settled_when_the_script_ends_without_finish(home: Path):
    run = wandb.init()
    wandb.define_metric("a", summary="max")
    wandb.log({"a": 2})
    session._settle_at_exit()
    run.exptrack.finish()
    session.forget(run)
    (kept,) = recovered(home)
    assert kept.summary["a.max"] == 2


# --- files, models, alerts --------------------------------------------------------------------------


def test_artifacts_are_recorded_where_they_are(home: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "data" / name).write_text(name)
    wandb.init()
    artifact = wandb.Artifact("net", type="model", description="d", metadata={"acc": 0.9})
    artifact.add_file("data/a.txt")
    assert wandb.log_artifact(artifact, aliases=["best"]).wait() is artifact
    wandb.log_artifact("data", name="set", type="dataset")
    wandb.log_model("data/a.txt")
    reference = wandb.Artifact("far")
    reference.add_reference("s3://bucket/x")
    wandb.log_artifact(reference)
    assert wandb.save("data/*.txt", base_path="data") == ["data/a.txt", "data/b.txt"]
    used = wandb.use_artifact("team/p/set:latest")
    with pytest.raises(wandb.Error, match="no copy"):
        used.download()
    for bad in (lambda: artifact.add_file("data"), lambda: artifact.add_dir("data/a.txt")):
        with pytest.raises(ValueError, match="Path is not"):
            bad()
    kept = only(home)
    found = {(item.name, item.type): item for item in kept.view.facts.artifacts}
    assert set(found) == {
        *(("net", "model"), ("set/a.txt", "dataset"), ("set/b.txt", "dataset")),
        *(("a.txt", "model"), ("a.txt", "file"), ("b.txt", "file")),
    }
    net = found["net", "model"]
    assert (net.path, net.size_bytes) == (str(tmp_path / "data" / "a.txt"), 5)
    assert json.loads(net.metadata) == {"acc": 0.9, "aliases": ["best"], "description": "d"}
    notes = [note.text for note in kept.view.facts.notes]
    assert "s3://bucket/x" in notes[0]
    assert notes[1] == "uses artifact team/p/set:latest"


def test_watch_records_gradients_and_parameters(home: Path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wandb.init()
    wandb.watch(model, log="all", log_freq=2, log_graph=True)
    for step in range(4):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        wandb.log({"step": step})
    wandb.unwatch()
    optimizer.step()
    with pytest.raises(wandb.UsageError, match="log is"):
        wandb.watch(model, log="everything")
    run = only(home)
    assert [step for step, _ in run.series("gradients/norm")] == [0, 2]
    assert {item.name for item in run.media("Histogram")} >= {"gradients/weight", "weights/weight"}


def test_alerts_have_wandbs_levels(home: Path):
    wandb.init()
    wandb.alert("one", "text", level=wandb.AlertLevel.WARN, wait_duration=3)
    wandb.alert("two")
    wandb.alert("three", level="ERROR")
    alerts = only(home).view.facts.alerts
    assert [(alert.title, alert.level) for alert in alerts] == [
        *(("one", "warning"), ("two", "info"), ("three", "error"))
    ]


# --- the rest of the module -------------------------------------------------------------------------


def test_what_has_nothing_to_do_does_nothing(caplog: pytest.LogCaptureFixture):
    assert wandb.login(key="x") is True
    wandb.setup()
    wandb.require("core")
    wandb.teardown()
    with caplog.at_level(logging.INFO, "exptrack"):
        wandb.termlog("l")
        wandb.termwarn("w")
        wandb.termerror("e")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR"]
    assert len(wandb.util.generate_id()) == 8
    assert len(wandb.util.generate_id(30)) == 30
    assert "start_method" in repr(wandb.Settings(start_method="x"))
    wandb.init(mode="disabled").mark_preempting()
    wandb.run.log_code()


@pytest.mark.parametrize(("code", "status"), [(1, "preempted"), (0, "finished")])
def test_a_run_that_was_marked_is_preempted_unless_it_ends_well(home: Path, code: int, status: str):
    run = wandb.init()
    run.mark_preempting()
    run.finish(exit_code=code)
    assert only(home).view.status.name == status


def test_what_is_linked_is_written_down(home: Path, tmp_path: Path):
    (tmp_path / "net.pt").touch()
    run = wandb.init()
    wandb.link_artifact(wandb.Artifact("a", "model"), "registry/a")
    wandb.link_model(tmp_path / "net.pt", "net")
    run.tags = "one"
    run.tags = ["one"]
    assert (run.tags, run.project_url, run.get_sweep_url()) == (("one",), None, None)
    notes = [note.text for note in only(home).view.facts.notes]
    assert notes == ["links artifact a to registry/a", "links model net.pt to net", "tags: one"]


@pytest.mark.parametrize("name", ["sweep", "agent", "controller", "restore", "Api"])
def test_what_is_not_there_says_what_to_do(name: str):
    with pytest.raises(wandb.UsageError, match="exptrack"):
        getattr(wandb, name)({})


def test_a_name_that_wandb_has_and_the_drop_in_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="drop-in for wandb has no 'beta'"):
        _ = wandb.beta


def test_nothing_of_wandb_is_imported():
    import subprocess
    import sys

    code = (
        "import sys, exptrack_agent.compat.wandb\n"
        "print([m for m in ('wandb', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_values_of_any_type_have_a_place(home: Path):
    def numbers() -> dict[str, Any]:
        return {"pair": (1, 2), "set": {3}}

    wandb.init()
    wandb.log(numbers())
    assert {item.name for item in only(home).media("Histogram")} == {"pair", "set"}
