"""Configurations as files: whole or as they were, older ones migrated, newer ones refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exptrack_agent.errors import Misuse
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.storage import FORMAT, usable_folder


def test_what_was_saved_is_loaded(tmp_path: Path):
    config = ExperimentConfig.preset("Full Tracking", notes="ü \udc80", tags=["x"])
    assert ExperimentConfig.load(config.save(tmp_path / "c.json")) == config


def test_a_file_says_its_format(tmp_path: Path):
    document = json.loads(ExperimentConfig().save(tmp_path / "c.json").read_text())
    assert (document["kind"], document["format"]) == ("exptrack.experiment", FORMAT)


def test_the_bare_settings_of_before_are_migrated(tmp_path: Path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"experiment_name": "old", "wandb_entity": "", "tags": None}))
    loaded = ExperimentConfig.load(path)
    assert (loaded.experiment_name, loaded.wandb_entity, loaded.tags) == ("old", None, ())


def test_a_newer_format_is_refused_untouched(tmp_path: Path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"kind": "exptrack.experiment", "format": FORMAT + 1, "config": {}}))
    before = path.read_bytes()
    with pytest.raises(Misuse, match=f"format {FORMAT + 1}, newer than"):
        ExperimentConfig.load(path)
    assert path.read_bytes() == before


def test_unknown_keys_are_named_with_the_file(tmp_path: Path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"log_clipping_stats": True, "log_intervall": 1}))
    with pytest.raises(Misuse, match=r"log_clipping_stats.*log_intervall") as caught:
        ExperimentConfig.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[1]", "a list"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"format": "x"}', "which is none"),
        ('{"format": 1}', "no configuration"),
        (
            '{"format": 1, "kind": "exptrack.experiment", "config": {"log_interval": -1}}',
            "1 or more",
        ),
        (" " * (4 * 1024 * 1024 + 1), "larger"),
    ],
)
def test_a_file_that_holds_no_configuration_is_told_why(tmp_path: Path, text: str, words: str):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(Misuse, match=words) as caught:
        ExperimentConfig.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_folder_or_file_is_named(tmp_path: Path):
    with pytest.raises(Misuse, match="cannot be written: No such file"):
        ExperimentConfig().save(tmp_path / "no" / "c.json")
    with pytest.raises(Misuse, match="cannot be read: No such file"):
        ExperimentConfig.load(tmp_path / "c.json")


def test_a_folder_that_cannot_be_written_is_named_with_its_setting():
    with pytest.raises(Misuse, match="tensorboard_dir /proc/exptrack cannot be written"):
        usable_folder("/proc/exptrack", "tensorboard_dir")


def test_a_failed_save_leaves_nothing_and_the_old_file(tmp_path: Path, monkeypatch):
    path = ExperimentConfig(notes="old").save(tmp_path / "c.json")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(Misuse, match="No space left"):
        ExperimentConfig(notes="new").save(path)
    assert ExperimentConfig.load(path).notes == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]
