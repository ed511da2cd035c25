"""Configurations in versions: saved, listed, compared, brought back, and refused in words."""

from __future__ import annotations

import json

import pytest

import exptrack_agent as xt
from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.web.studio.experiments import (
    Experiments,
    document_of,
    presets,
    run_id_for,
    settings_from,
    settings_of,
    version_row,
)
from exptrack_daemon.web.studio.form import FIELDS, shown_values


@pytest.fixture
def experiments(home):
    return Experiments(home)


def settings(**changes):
    return presets()["Basic Tracking"] | changes


def test_nothing_is_made_before_something_is_saved(experiments, home):
    assert experiments.names() == []
    assert experiments.versions("nothing") == []
    assert list(home.iterdir()) == []


def test_two_versions_are_listed_newest_first_and_differ_in_what_was_changed(experiments):
    first = experiments.save(settings(), "the beginning")
    second = experiments.save(settings(log_interval=3))
    assert [version.id for version in experiments.versions("basic_experiment")] == [
        second.id,
        first.id,
    ]
    (change,) = experiments.diff("basic_experiment", first.id, second.id)
    assert (change.setting, change.before, change.after) == ("log_interval", 10, 3)
    assert version_row(second)[2] == "log_interval"
    assert version_row(first)[2:4] == ["the first", "the beginning"]


def test_a_restored_version_is_the_newest_and_nothing_is_removed(experiments):
    first = experiments.save(settings())
    experiments.save(settings(log_interval=3))
    assert experiments.restore("basic_experiment", first.id) == settings()
    assert experiments.load("basic_experiment") == settings()
    assert len(experiments.versions("basic_experiment")) == 3


def test_names_with_odd_characters_stay_in_the_folder_and_are_shown_as_they_are(experiments, home):
    for name in ("../../evil", "a/b", "ü ☃", ".."):
        experiments.save(settings(experiment_name=name))
    assert sorted(experiments.names()) == sorted(["../../evil", "a/b", "ü ☃", ".."])
    assert [path.name for path in home.iterdir()] == ["configs"]
    assert not (home.parent / "evil").exists()


def test_a_versions_file_is_what_the_agent_loads(experiments):
    version = experiments.save(settings(), run_id="run1")
    path = experiments.file_of("basic_experiment", version)
    assert xt.ExperimentConfig.load(path).to_dict() == settings()


def test_what_is_wrong_is_said_of_all_fields_at_once():
    typed = dict(zip((field.name for field in FIELDS), shown_values(settings()), strict=True))
    typed |= {"log_interval": 0, "experiment_name": ""}
    with pytest.raises(ConfigInvalid, match=r"experiment_name is empty; log_interval is a number"):
        settings_of(list(typed.values()), settings())


def test_json_comes_back_from_what_was_shown_and_from_a_saved_file(tmp_path):
    assert settings_from(document_of(settings())) == settings()
    path = xt.ExperimentConfig(**settings()).save(tmp_path / "c.json")
    assert settings_from(path.read_text()) == settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "that is no JSON"),
        ("[1]", "a JSON object"),
        ('{"lag_interval": 3}', "did you mean 'log_interval'"),
        (json.dumps({"kind": "exptrack.experiment", "format": 9, "config": {}}), "newer"),
        ("[" * 100_000, "that is no JSON"),
    ],
)
def test_json_that_is_no_configuration_is_refused_in_words(text, words):
    with pytest.raises(ConfigInvalid, match=words):
        settings_from(text)


def test_a_run_gets_an_id_or_goes_on_with_the_one_that_was_asked_for():
    assert run_id_for(settings()) != run_id_for(settings())
    assert run_id_for(settings(resume_run="mine")) == "mine"
    assert run_id_for(settings(resume_run=True)) == run_id_for(settings(resume_run=True))


def test_a_version_that_was_changed_by_hand_is_not_loaded(experiments):
    version = experiments.save(settings())
    path = experiments.file_of("basic_experiment", version)
    path.write_text(path.read_text().replace("10", "11"))
    with pytest.raises(ConfigInvalid, match="was changed"):
        experiments.load("basic_experiment", version.id)
    with pytest.raises(ConfigInvalid, match="nothing is saved under"):
        experiments.load("other")


def test_a_list_of_saves_that_cannot_be_read_is_said(experiments, home):
    experiments.save(settings())
    lines = home / "configs" / "basic_experiment" / "history.jsonl"
    lines.unlink()
    lines.mkdir()
    with pytest.raises(ConfigInvalid, match=r"history.jsonl cannot be read"):
        experiments.versions("basic_experiment")
    assert experiments.names() == []


@pytest.mark.parametrize("line", ["[1]", "3", '{"id": 3}', '{"id": "a", "time_ns": "x"}', "{"])
def test_a_line_that_tells_of_no_save_is_passed_over(experiments, home, line):
    version = experiments.save(settings())
    path = home / "configs" / "basic_experiment" / "history.jsonl"
    path.write_text(f"{line}\n{path.read_text()}")
    assert list(experiments.versions("basic_experiment")) == [version]
