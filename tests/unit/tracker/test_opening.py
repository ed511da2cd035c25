"""From a configuration to `init`: sinks, their options, the run to go on with, and what is said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_agent.settings import run_id_from
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.names import TENSORBOARD
from exptrack_agent.tracker.opening import (
    folder_part,
    open_run,
    resume_options,
    say_what_changes_nothing,
    sink_options,
)
from exptrack_proto.frame import RUN_ID


def test_a_folder_for_tensorboard_gets_a_run_folder(tmp_path: Path):
    config = ExperimentConfig(experiment_name="a/../b c", tensorboard_dir=tmp_path / "tb")
    options = sink_options(config, "20260102_030405")["tensorboard"]
    assert options["directory"] == str(tmp_path / "tb")
    assert options["folder"] == "a-..-b-c_20260102_030405"
    assert options["names"] == TENSORBOARD


def test_no_folder_no_place():
    assert set(sink_options(ExperimentConfig(), "x")["tensorboard"]) == {"names"}


def test_names_of_ones_own_go_before_the_usual():
    own = {"tensorboard": {"train/loss": "L"}, "wandb": {"epoch/*": "E/*"}}
    options = sink_options(ExperimentConfig(metric_names=own, enable_wandb=True), "x")
    assert options["tensorboard"]["names"]["train/loss"] == "L"
    assert options["tensorboard"]["names"]["train/accuracy"] == "Accuracy/Train"
    assert options["wandb"]["names"] == {"epoch/*": "E/*"}


def test_wandb_is_told_team_and_step():
    config = ExperimentConfig(enable_tensorboard=False, enable_wandb=True, wandb_entity="team")
    assert sink_options(config, "x") == {
        "wandb": {"names": {}, "step_name": "train/step", "entity": "team"}
    }


def test_resuming_by_id_or_by_name():
    assert resume_options(ExperimentConfig()) == {}
    assert resume_options(ExperimentConfig(resume_run="abc")) == {"run_id": "abc", "resume": "must"}
    one = resume_options(ExperimentConfig(resume_run=True, experiment_name="ä b", run_name="./x"))
    again = resume_options(ExperimentConfig(resume_run=True, experiment_name="ä b", run_name="./x"))
    other = resume_options(ExperimentConfig(resume_run=True, experiment_name="ä c", run_name="./x"))
    assert one == again != other
    assert RUN_ID.fullmatch(one["run_id"])


@pytest.mark.parametrize("text", ["..", "", "ä", "a/b", "-x", "x" * 500])
def test_a_name_leads_nowhere_else(text: str):
    part = folder_part(text)
    assert part == Path(part).name
    assert not part.startswith((".", "-"))


def test_what_changes_nothing_is_said_once(caplog):
    config = ExperimentConfig(sync_tensorboard=True, anonymous="allow")
    say_what_changes_nothing(config)
    say_what_changes_nothing(config)
    assert len(caplog.records) == 2
    say_what_changes_nothing(ExperimentConfig(anonymous="never"))
    assert len(caplog.records) == 2


def test_a_run_of_the_configuration(home: Path):
    config = ExperimentConfig(experiment_name="e", project_name="p", tags=["t"], resume_run=True)
    run = open_run(config, {"home": home, "mode": "offline"})
    run.finish()
    assert (run.project, run.name[:2]) == ("p", "e_")
    assert run_id_from() is None
