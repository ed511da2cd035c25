"""Versions of a configuration: who changed what, and the way back."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from exptrack_agent.errors import Misuse
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.history import ConfigHistory, user_name, version_id


def test_a_version_says_who_changed_what(tmp_path: Path):
    history = ConfigHistory(tmp_path / "configs")
    first = history.save(ExperimentConfig(), "begin")
    second = history.save(ExperimentConfig(log_interval=7, notes="x"), "slower")
    assert (first.parent, first.changed) == ("", ())
    assert (second.parent, second.changed) == (first.id, ("notes", "log_interval"))
    assert (second.who, second.message) == (user_name(), "slower")
    assert list(history.list()) == [first, second]
    assert "slower" in str(second)
    assert "log_interval" in str(second)


def test_an_equal_configuration_is_one_version(tmp_path: Path):
    history = ConfigHistory(tmp_path)
    assert history.save(ExperimentConfig()) == history.save(ExperimentConfig())
    assert len(history.list()) == 1
    assert history.save(ExperimentConfig(), run_id="r1").run_id == "r1"
    assert len(list((tmp_path / "versions").iterdir())) == 1


def test_versions_are_found_by_a_beginning_and_compared(tmp_path: Path):
    history = ConfigHistory(tmp_path)
    first = history.save(ExperimentConfig())
    history.save(ExperimentConfig(tags=["a"]))
    assert history.load(first.id[:10]) == ExperimentConfig()
    (change,) = history.diff(first.id[:10])
    assert change == ("tags", [], ["a"])
    assert str(change) == "tags: [] → ['a']"


def test_an_earlier_version_comes_back_as_the_newest(tmp_path: Path):
    history = ConfigHistory(tmp_path)
    first = history.save(ExperimentConfig())
    history.save(ExperimentConfig(log_interval=9))
    assert history.restore(first.id) == ExperimentConfig()
    assert history.load() == ExperimentConfig()
    assert len(history.list()) == 3
    assert history.list()[-1].message == f"restored {first.id[:12]}"


@pytest.mark.parametrize("version", ["", "latest", "nope"])
def test_a_version_that_is_not_there_is_named(tmp_path: Path, version: str):
    with pytest.raises(Misuse, match="there is no version"):
        ConfigHistory(tmp_path).load(version)


def test_a_version_that_was_changed_is_noticed(tmp_path: Path):
    history = ConfigHistory(tmp_path)
    saved = history.save(ExperimentConfig())
    ExperimentConfig(notes="forged").save(tmp_path / "versions" / f"{saved.id}.json")
    with pytest.raises(Misuse, match="was changed since"):
        history.load()
    assert history.save(ExperimentConfig(log_interval=2)).changed == ()


def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path):
    history = ConfigHistory(tmp_path)
    saved = history.save(ExperimentConfig())
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"id": 3, "x": 1}\nnoise\n\n{"id"')
    assert list(history.list()) == [saved]
    again = history.save(ExperimentConfig(notes="x"))  # does not become part of the torn line
    assert list(history.list()) == [saved, again]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="config_save_dir"):
        ConfigHistory(tmp_path / "file")


def _save_many(folder: str, number: int) -> None:
    history = ConfigHistory(folder)
    for step in range(10):
        history.save(ExperimentConfig(notes=f"{number}-{step}"))


def test_processes_that_save_at_once_lose_no_version(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_save_many, args=(str(tmp_path), n)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == len([json.loads(line) for line in lines]) == 20


def test_an_id_is_of_the_content_alone():
    assert version_id(ExperimentConfig(tags=("a",))) == version_id(ExperimentConfig(tags=["a"]))
    assert version_id(ExperimentConfig()) != version_id(ExperimentConfig(notes="x"))
