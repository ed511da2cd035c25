"""A user's training script with each preset, a real daemon, and what every reader then finds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from exptrack_daemon.sinks.tensorboard.folders import find_folder
from exptrack_daemon.sinks.tensorboard.readback import count_points, event_files, read_events
from exptrack_daemon.store.reader import RunView, open_home
from tests.support.processes import Daemon, finished, trainer, wait_until

SCRIPT = """
import math
preset, base = sys.argv[1:]
config = xt.ExperimentConfig.preset(
    preset, project_name="p", run_name="n", enable_wandb=False, tensorboard_dir=base + "/tb",
    config_save_dir=base + "/configs",
)
with xt.ExperimentTracker(config, seeds={"data": 5}) as tracker:
    tracker.log_hyperparameters({"lr": 1e-3})
    for step in range(40):
        tracker.log_training_step(
            loss=math.nan if step == 20 else 1 / (step + 1), accuracy=step / 40, learning_rate=1e-3,
            gradient_norm=1.0, nan_count=int(step == 20), inf_count=0, clipping_applied=True,
            clipping_threshold=1.0, training_time=0.1, memory_usage=0.5, gpu_utilization=50.0,
            perplexity=3.0, step=step,
        )
    tracker.log_epoch(1, {"val_loss": 0.25})
    tracker.log_text("note", "hello")
    tracker.log_images("image", [[0.0, 1.0], [1.0, 0.0]])
    picture = tracker.create_visualization(base + "/picture.png")
    print(tracker.run.id)
    print({"points": picture["loss"]["points"], "nonfinite": picture["loss"]["nonfinite"]})
"""
PRESETS = {"Basic Tracking": 10, "Full Tracking": 5, "Numerical Stability Focus": 1}


def settled(home: Path, run_id: str) -> RunView:
    """The run, once its sinks have everything."""

    def done() -> RunView | None:
        reader = open_home(home)
        view = reader.find(run_id)
        states = {sink.name: sink.status for sink in reader.sink_states(view)}
        return view if states.get("tensorboard") == states.get("catalog") == "done" else None

    view: RunView = wait_until(done, 30, "all sinks are done")
    return view


@pytest.mark.timeout(180)
def test_each_preset_reads_back_as_it_was_logged(daemon: Daemon, home: Path, tmp_path: Path):
    for preset, interval in PRESETS.items():
        base = tmp_path / preset.replace(" ", "_")
        base.mkdir()
        process = trainer(SCRIPT, home, preset, str(base), OMP_NUM_THREADS="1")
        run_id, drawn = finished(process, 120).splitlines()
        view = settled(home, run_id)
        steps = 40 // interval
        check_store(home, view, steps)
        check_tensorboard(home, view, base, steps)
        check_state(view, base, preset)
        assert (base / "picture.png").read_bytes().startswith(b"\x89PNG")
        assert drawn == str({"points": steps, "nonfinite": [[20, "nan"]]})


def check_store(home: Path, view: RunView, steps: int) -> None:
    losses = [point for point in open_home(home).points(view) if point.name == "train/loss"]
    assert len(losses) == steps
    assert view.facts.summary["numerical_stability/nan_count"] == 0
    assert view.facts.summary["epoch/val_loss"] == 0.25
    assert view.facts.run.config == {"lr": 1e-3}
    assert view.status.name == "finished"


def check_tensorboard(home: Path, view: RunView, base: Path, steps: int) -> None:
    folder = find_folder(home / "tensorboard", view.facts.run)
    assert folder is not None
    assert folder.parent == base / "tb"
    experiment, _, stamp = folder.name[:-16], folder.name[-16], folder.name[-15:]
    assert experiment.endswith("_experiment")
    time.strptime(stamp, "%Y%m%d_%H%M%S")
    assert count_points(folder) == {
        "Loss/Train": steps,
        "Accuracy/Train": steps,
        "Learning_Rate": steps,
        "Gradients/Norm": steps,
        "Numerical_Stability/NaN_Count": steps,
        "Numerical_Stability/Inf_Count": steps,
        "Numerical_Stability/Clipping_Applied": steps,
        "Numerical_Stability/Clipping_Threshold": steps,
        "Performance/Training_Time": steps,
        "Performance/Memory_Usage": steps,
        "Performance/GPU_Utilization": steps,
        "train/perplexity": steps,
        "Epoch/val_loss": 1,
        "Epoch/step": 1,
    }
    shown = {
        value.tag
        for path in event_files(folder)
        for e in read_events(path)
        for value in e.summary.value
    }
    assert {"note", "image", "training/overview"} <= shown


def check_state(view: RunView, base: Path, preset: str) -> None:
    (artifact,) = view.facts.artifacts
    state: dict[str, Any] = json.loads(artifact.metadata)
    assert state["seeds"]["data"] == 5
    assert state["config"]["log_interval"] == PRESETS[preset]
    assert state["command"]["arguments"][-2:] == [preset, str(base)]
    assert json.loads(Path(artifact.path).read_text()) == state
    assert (base / "configs" / "versions" / f"{state['config_version']}.json").exists()


def test_a_run_goes_on_by_its_names(daemon: Daemon, home: Path):
    script = """
config = xt.ExperimentConfig(experiment_name="e", resume_run=True)
with xt.ExperimentTracker(config) as tracker:
    tracker.log_training_step(loss=1.0, step=int(sys.argv[1]))
    print(tracker.run.id)
"""
    first = finished(trainer(script, home, "0"))
    wait_until((home / "runs" / first.strip()).exists, 10, "the run is known")
    assert finished(trainer(script, home, "1")) == first
    view = wait_until(lambda: _with_rows(home, first.strip(), 2), 20, "both attempts")
    assert view.facts.attempts == 2


def _with_rows(home: Path, run_id: str, rows: int) -> RunView | None:
    view = open_home(home).find(run_id)
    return view if view.facts.rows == rows else None


def test_a_picture_during_training_does_not_keep_it_waiting(daemon: Daemon, home: Path):
    script = """
with xt.ExperimentTracker(xt.ExperimentConfig()) as tracker:
    for step in range(2000):
        tracker.log_training_step(loss=1.0, step=step)
    began = time.monotonic()
    picture = tracker.create_visualization()
    print(time.monotonic() - began < 1.0)
    print(picture["loss"]["points"])
"""
    assert finished(trainer(script, home)).split() == ["True", "2000"]
