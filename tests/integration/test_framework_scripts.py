"""Scripts written for SummaryWriter and for wandb, run as they are but for one import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import exptrack_agent.compat.wandb as compat_wandb
from exptrack_agent.compat.tensorboard import places
from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, wait_until
from tests.unit.integrations.reading import Kept, kept, recovered

SCRIPTS = Path(__file__).parents[1] / "support" / "scripts"
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:.*TracerWarning.*"),
]


@pytest.fixture
def run_script(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, str], None]:
    """Runs a script's `main` with one import changed."""
    monkeypatch.setenv("EXPTRACK_HOME", str(home))
    places._begun.clear()

    def run(name: str, before: str, after: str, *arguments: str) -> None:
        text = (SCRIPTS / name).read_text()
        assert text.count(before) == 1
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text.replace(before, after), name, "exec"), namespace)

    return run


def only(home: Path) -> Kept:
    (view,) = open_home(home).runs()
    return kept(home, view)


def tags_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    return events


def test_a_script_for_summary_writer(
    daemon: Daemon, home: Path, tmp_path: Path, run_script: Callable[..., None]
):
    line = "from torch.utils.tensorboard import SummaryWriter"
    run_script("summary_writer_script.py", line, line, "--logdir", "theirs/moons")
    ours = "from exptrack_agent.compat.tensorboard import SummaryWriter"
    run_script("summary_writer_script.py", line, ours, "--logdir", "ours/moons")
    run = only(home)
    assert run.view.status.name == "finished"
    assert (run.view.facts.run.project, run.view.facts.run.name) == ("ours", "moons")
    assert [step for step, _ in run.series("Loss/train")] == list(range(8))
    assert len(run.media("Graph")) == 1

    theirs = tags_of(tmp_path / "theirs" / "moons")
    place = tmp_path / "ours" / "moons"
    wait_until(lambda: list(place.glob("*tfevents*")), 20)
    wait_until(
        lambda: "hparam/accuracy" in tags_of(place).Tags()["scalars"], 20, "the last row is there"
    )
    written = tags_of(place)
    assert set(theirs.Tags()["scalars"]) <= set(written.Tags()["scalars"])
    assert set(theirs.Tags()["histograms"]) <= set(written.Tags()["tensors"])
    assert written.Tags()["graph"]
    for tag in theirs.Tags()["scalars"]:
        wanted = [(event.step, pytest.approx(event.value)) for event in theirs.Scalars(tag)]
        assert [(event.step, event.value) for event in written.Scalars(tag)] == wanted, tag


def test_a_script_for_wandb(
    home: Path, run_script: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run_script("wandb_script.py", "import wandb\n", "import exptrack_agent.compat.wandb as wandb\n")
    assert compat_wandb.run is None
    (run,) = recovered(home)
    info = run.view.facts.run
    assert (info.project, info.name, info.group, info.tags) == ("net", "first", "g", ("baseline",))
    assert run.config == {"hidden": 8, "lr": 0.01, "epochs": 2, "optimizer": "AdamW"}
    # four steps of training and one of validation an epoch, as W&B counts
    assert [step for step, _ in run.series("train/loss")] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [step for step, _ in run.series("val/accuracy")] == [4, 9]
    assert [step for step, _ in run.series("epoch")] == [0, 1, 2, 3, 5, 6, 7, 8]
    losses = [value for _, value in run.series("train/loss")]
    assert run.summary["train/loss.min"] == pytest.approx(min(losses))
    assert "best_accuracy" in run.summary
    assert {image.name for image in run.media("Image")} == {"examples/0", "examples/1"}
    assert {table.name for table in run.media("Table")} == {"predictions", "confusion"}
    assert "gradients/body.0.weight" in {item.name for item in run.media("Histogram")}
    (artifact,) = run.view.facts.artifacts
    assert (artifact.name, artifact.type) == ("net", "model")
    assert run.view.facts.alerts[0].level == "warning"


def test_a_fine_tuning_script_for_wandb(
    home: Path, run_script: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    instead = "import exptrack_agent.compat.wandb as wandb\n"
    run_script("wandb_finetuning_script.py", "import wandb\n", instead)
    (run,) = recovered(home)
    assert run.view.status.name == "finished"
    assert run.config == {"lr": 1e-4, "epochs": 2, "seed": 42, "model_name": "bert"}
    assert [step for step, _ in run.series("train/loss")] == [1, 2, 4, 5, 7, 8]
    assert [step for step, _ in run.series("val/loss")] == [0, 3, 6]
    assert run.series("train/learning_rate") == [(step, 1e-4) for step in (1, 2, 4, 5, 7, 8)]
    assert run.table("examples") == (["text", "label"], [["good", 1], ["bad", 0]])
    assert run.media("Histogram", "gradients/weight")
    notes = [note.text for note in run.view.facts.notes]
    assert notes == [
        *("renamed to tuned", "tags: bert, tuned", "a second look"),
        "links artifact model to registry/model",
    ]
