"""The tracker's words: what each becomes in the run, and what each setting lets through."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

import exptrack_agent as xt
from exptrack_agent.tracker.metrics import TrainingMetrics
from exptrack_agent.tracker.names import CANONICAL
from exptrack_agent.tracker.tracker import ExperimentTracker


class Recorder:
    """Stands where a run that records nothing has `log` and `put_item`."""

    def __init__(self, tracker: ExperimentTracker) -> None:
        self.rows: list[tuple[dict[str, Any], int | None]] = []
        tracker.run.log = lambda data, step=None: self.rows.append((dict(data), step))  # type: ignore[method-assign]


def tracked(**settings: Any) -> tuple[ExperimentTracker, Recorder]:
    tracker = ExperimentTracker(xt.ExperimentConfig(**settings), mode="disabled")
    return tracker, Recorder(tracker)


def test_every_keyword_has_its_canonical_name():
    tracker, run = tracked()
    numbers = {name: float(number) for number, name in enumerate(CANONICAL)}
    tracker.log_training_step(step=3, **numbers)
    assert run.rows == [({CANONICAL[name]: number for name, number in numbers.items()}, 3)]


def test_training_metrics_are_the_keywords():
    tracker, run = tracked()
    metrics = TrainingMetrics(loss=0.5, nan_count=0)
    tracker.log_training_step(**metrics.values())
    assert run.rows == [({"train/loss": 0.5, "numerical_stability/nan_count": 0}, 0)]
    assert set(CANONICAL) == set(TrainingMetrics.__dataclass_fields__)


def test_other_keywords_are_kept():
    tracker, run = tracked()
    tracker.log_training_step(loss=1.0, perplexity=2.7)
    assert run.rows[0][0] == {"train/loss": 1.0, "train/perplexity": 2.7}


def test_steps_count_by_themselves_from_any_step():
    tracker, run = tracked()
    for step in (None, None, 7, None):
        tracker.log_training_step(loss=1.0, step=step)
    assert [step for _, step in run.rows] == [0, 1, 7, 8]
    assert tracker.current_step == 8


def test_an_interval_lets_its_multiples_through():
    tracker, run = tracked(log_interval=10)
    for step in range(31):
        tracker.log_training_step(loss=1.0, step=step)
    assert [step for _, step in run.rows] == [0, 10, 20, 30]
    assert tracker.get_experiment_summary()["steps_recorded"] == 4


def test_metrics_that_are_off_only_count():
    tracker, run = tracked(log_metrics=False)
    tracker.log_training_step(loss=1.0, step=5, epoch=2)
    tracker.log_epoch(3, {"loss": 1.0})
    assert run.rows == []
    assert (tracker.current_step, tracker.current_epoch) == (5, 3)


def test_an_epoch_once_told_stands_in_each_row():
    tracker, run = tracked()
    tracker.log_training_step(loss=1.0, epoch=0)
    tracker.log_training_step(loss=1.0)
    assert [row["train/epoch"] for row, _ in run.rows] == [0, 0]


def test_an_epoch_has_its_own_axis():
    tracker, run = tracked()
    tracker.log_training_step(loss=1.0, step=41)
    tracker.log_epoch(2, {"val_loss": 0.5})
    assert run.rows[-1] == ({"epoch/val_loss": 0.5, "epoch/step": 41}, 2)
    assert tracker.current_epoch == 2


@pytest.mark.parametrize("step", ["x", 1.5, float("nan"), float("inf"), object()])
def test_a_step_that_is_none_does_not_stop_training(step: Any):
    tracker, run = tracked()
    tracker.log_training_step(loss=1.0, step=4)
    tracker.log_training_step(loss=1.0, step=step)
    assert [at for _, at in run.rows] == [4, 5]


def test_a_whole_step_of_another_type_is_taken():
    tracker, run = tracked()
    tracker.log_training_step(loss=1.0, step=3.0)  # type: ignore[arg-type]
    assert run.rows[0][1] == 3


def test_images_of_every_shape_of_call():
    tracker, run = tracked()
    pixels = [[0.1, 0.2], [0.3, 0.4]]
    tracker.log_images("one", pixels, caption="c")
    tracker.log_images({"a": pixels, "b": xt.Image(pixels)}, step=9)
    assert (list(run.rows[0][0]), run.rows[0][0]["one"].caption) == (["one"], "c")
    assert (list(run.rows[1][0]), run.rows[1][1]) == (["a", "b"], 9)


def test_texts_of_every_shape_of_call():
    tracker, run = tracked()
    tracker.log_text("note", "x")
    tracker.log_text({"a": 3})
    assert [row[name].text for row, _ in run.rows for name in row] == ["x", "3"]


@pytest.mark.parametrize("setting", ["log_images", "log_text", "log_hyperparameters"])
def test_what_is_off_records_nothing(setting: str):
    tracker, run = tracked(**{setting: False})
    tracker.log_images("i", [[0.0]]) if setting == "log_images" else None
    tracker.log_text("t", "x") if setting == "log_text" else None
    if setting == "log_hyperparameters":
        tracker.log_hyperparameters({"lr": 1})
        assert dict(tracker.run.config) == {}
    assert run.rows == []


def test_hyperparameters_become_the_runs_config():
    tracker, _ = tracked()
    tracker.log_hyperparameters({"lr": 1e-3}, {"accuracy": 0.9})
    assert dict(tracker.run.config) == {"lr": 1e-3}


@dataclasses.dataclass
class Hyper:
    lr: float = 0.1


@pytest.mark.parametrize("given", [Hyper(), argparse.Namespace(lr=0.1), {"lr": 0.1}])
def test_hyperparameters_come_in_many_shapes(given: Any):
    tracker, _ = tracked()
    tracker.log_hyperparameters(given)
    assert dict(tracker.run.config) == {"lr": 0.1}


def test_hyperparameters_or_metrics_that_are_none_do_not_stop_training(caplog):
    tracker, run = tracked()
    tracker.log_hyperparameters(3)
    tracker.log_epoch(1, 3)  # type: ignore[arg-type]
    assert len(caplog.records) == 2
    assert run.rows == []


def test_only_the_first_rank_records_what_reproduces_the_run(
    home: Path, monkeypatch, tmp_path: Path
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = xt.ExperimentConfig(config_save_dir=tmp_path)
    with ExperimentTracker(config, home=home, mode="offline"):
        pass
    assert not (tmp_path / "history.jsonl").exists()


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_gradients_are_asked_for_what_the_settings_say(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    stand_in(monkeypatch, "exptrack_agent.torch.gradients",
             log_gradients=lambda *given, **what: asked.append((given[1:], what)))  # fmt: skip
    tracker, _ = tracked(log_gradient_norms=True, log_interval=2)
    for step in range(3):
        tracker.log_gradients("model", step=step)
    norms = {"norms": True, "nan_inf": False, "histograms": False}
    assert asked == [(("model", 0), norms), (("model", 2), norms)]
    tracked()[0].log_gradients("model")
    assert len(asked) == 2


def test_a_fault_in_what_stands_beside_is_kept_from_training(
    monkeypatch: pytest.MonkeyPatch, caplog
):
    def burst(*_: Any, **__: Any) -> None:
        raise RuntimeError("boom")

    stand_in(monkeypatch, "exptrack_agent.torch.gradients", log_gradients=burst)
    stand_in(monkeypatch, "exptrack_agent.torch.architecture", describe=burst)
    tracker, _ = tracked(log_gradients=True)
    for _ in range(3):
        tracker.log_gradients("model")
        assert tracker.log_model_architecture("model") == {}
    assert sum("boom" in record.message for record in caplog.records) == 2


def test_an_architecture_becomes_text_sizes_and_graph(monkeypatch: pytest.MonkeyPatch):
    described = {"text": "| a |", "parameters": 5, "trainable": 4, "bytes": 20,
                 "nodes": [{"name": "a", "op": "Linear", "inputs": [], "shape": None}]}  # fmt: skip
    stand_in(monkeypatch, "exptrack_agent.torch.architecture", describe=lambda *_: described)
    tracker, run = tracked()
    assert tracker.log_model_architecture("model", "input") == described
    assert run.rows[0][0]["model/architecture"].text == "| a |"
    assert tracker.run.summary["model/parameters"] == 5


class FakeCheckpoints:
    """In memory, with the doors of `exptrack_agent.torch.checkpoints.Checkpoints`."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder, self.saved = folder, []

    def save(self, model: Any, optimizer: Any, **what: Any) -> Path:
        self.saved.append({"model_state": model, "optimizer_state": optimizer, **what})
        return self.folder / f"checkpoint_epoch_{what['epoch']}_step_{what['step']}.pt"

    def load(self, path: Any = None) -> dict[str, Any] | None:
        return self.saved[-1] if self.saved else None


def test_a_checkpoint_comes_back_and_steps_go_on_from_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    stand_in(monkeypatch, "exptrack_agent.torch.checkpoints", Checkpoints=FakeCheckpoints)
    tracker, run = tracked(model_save_dir=tmp_path / "models")
    assert tracker.load_checkpoint() is None
    path = tracker.save_checkpoint({"w": 1}, {"o": 2}, 3, 40, 0.5, {"a": 1.0})
    assert path == tmp_path / "models" / "checkpoint_epoch_3_step_40.pt"
    loaded = tracker.load_checkpoint(path)
    assert isinstance(loaded, xt.ModelCheckpoint)
    assert (loaded.epoch, loaded.step, loaded.metrics, loaded.model_state) == (
        3,
        40,
        {"a": 1.0},
        {"w": 1},
    )
    tracker.log_training_step(loss=1.0)
    assert run.rows[-1] == ({"train/loss": 1.0, "train/epoch": 3}, 41)


def test_saving_is_due_at_the_multiples_of_its_interval():
    tracker, _ = tracked(save_interval=5)
    assert [step for step in range(11) if tracker.is_save_due(step)] == [5, 10]


def test_a_run_that_was_handed_in_is_left_open(home: Path):
    with xt.init(home=home, mode="offline") as run:
        with ExperimentTracker(run=run) as tracker:
            tracker.log_training_step(loss=1.0)
        run.log({"more": 1})
        assert run.rows == 2


@pytest.mark.parametrize("folder", ["tensorboard_dir", "model_save_dir", "config_save_dir"])
def test_a_folder_that_cannot_be_used_stops_before_training(folder: str):
    with pytest.raises(xt.Misuse, match=f"{folder} /proc/nowhere"):
        ExperimentTracker(xt.ExperimentConfig(**{folder: "/proc/nowhere"}), mode="disabled")


def test_the_summary_is_what_was_told(home: Path):
    config = xt.ExperimentConfig(experiment_name="e", project_name="p", tags=["t"])
    with ExperimentTracker(config, home=home, mode="offline") as tracker:
        tracker.log_hyperparameters({"lr": 0.1})
        tracker.log_training_step(loss=0.25, step=8)
        summary = tracker.get_experiment_summary()
    assert (summary["experiment_name"], summary["current_step"]) == ("e", 8)
    assert summary["metrics"]["train/loss"] == 0.25
    assert summary["hyperparameters"] == {"lr": 0.1}
    assert summary["run_id"] == tracker.run.id


def test_health_tells_what_was_left_out(home: Path):
    with ExperimentTracker(home=home, mode="offline") as tracker:
        assert tracker.health()["ok"]
        tracker.log_training_step(loss=object())
        health = tracker.health()
    assert not health["ok"]
    assert "1 values were left out" in health["problems"][0]


def test_a_picture_of_nothing_is_empty_and_says_why(caplog):
    tracker, _ = tracked()
    picture = tracker.create_visualization(wait=True)
    assert dict(picture) == {}
    assert "records nothing" in picture.problem


def test_a_picture_in_a_missing_folder_is_refused(tmp_path: Path):
    tracker, _ = tracked()
    with pytest.raises(xt.Misuse, match="does not exist"):
        tracker.create_visualization(tmp_path / "no" / "x.png")


def test_pictures_in_the_background_are_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    release = threading.Event()

    def slow(run: Any, path: Any) -> tuple[dict[str, Any], bytes]:
        release.wait(20)
        return {"loss": {"points": 3}}, b""

    monkeypatch.setattr("exptrack_agent.tracker.pictures.draw", slow)
    tracker, _ = tracked(log_images=False)
    first = tracker.create_visualization()
    assert all(tracker.create_visualization() is first for _ in range(5))
    assert "drawing" in repr(first)
    release.set()
    assert first["loss"] == {"points": 3}
    assert len(first) == 1
    assert tracker.create_visualization() is not first
    tracker.close()


def test_a_picture_that_cannot_be_drawn_says_why_and_training_goes_on(home: Path, caplog):
    with ExperimentTracker(home=home, mode="offline") as tracker:
        tracker.log_training_step(loss=1.0)
        picture = tracker.create_visualization(wait=True)
        assert dict(picture) == {}
        assert picture.problem
        assert picture.problem in caplog.text
        tracker.log_training_step(loss=1.0)
    assert tracker.run.stats()["rows"] == 2
