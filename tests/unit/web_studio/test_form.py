"""The configuration as a form: what is shown is what is meant, and nothing is lost on the way."""

from __future__ import annotations

import pytest

from exptrack_daemon.web.studio.experiments import presets, problem_of, settings_of
from exptrack_daemon.web.studio.form import FIELDS, BadField, shown_values, typed_value

FIELD = {field.name: field for field in FIELDS}
NO_FIELD = {"anonymous", "sync_tensorboard"}


def test_every_setting_has_a_field_but_those_that_change_nothing():
    assert set(presets()["Defaults"]) == set(FIELD) | NO_FIELD


@pytest.mark.parametrize("preset", presets())
def test_a_preset_that_is_shown_and_read_back_is_the_same(preset):
    settings = presets()[preset]
    assert settings_of(shown_values(settings), settings) == settings


def test_settings_of_every_kind_come_back_and_those_without_a_field_are_kept():
    settings = presets()["Defaults"] | {
        "tags": ["a b", "ü"],
        "resume_run": True,
        "metric_names": {"wandb": {"loss": "Loss"}},
        "notes": "two\nlines",
        "wandb_group": "g",
        "anonymous": "never",
    }
    assert settings_of(shown_values(settings), settings) == settings


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("tags", " a, ,b ,", ["a", "b"]),
        ("run_name", "  ", None),
        ("log_interval", 5.0, 5),
        ("log_interval", None, None),
        ("resume_run", "", False),
        ("resume_run", " yes ", True),
        ("resume_run", "abc", "abc"),
        ("metric_names", "", {}),
        ("log_images", None, False),
    ],
)
def test_what_is_typed_is_taken_as_it_is_meant(name, typed, meant):
    assert typed_value(FIELD[name], typed) == meant


def test_json_that_is_none_names_its_setting():
    with pytest.raises(BadField, match="metric_names is no JSON"):
        typed_value(FIELD["metric_names"], "{'a'")


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("experiment_name", "  ", "experiment_name is empty"),
        ("log_interval", 0, "log_interval is a number of steps, 1 or more, not 0"),
        ("save_interval", 2.5, "save_interval is a number of steps"),
        ("log_interval", None, "log_interval is a number of steps"),
        ("metric_names", '{"mlflow": {}}', "metric_names knows the sinks"),
        ("metric_names", "[[", "metric_names is no JSON"),
    ],
)
def test_a_wrong_field_says_so_in_the_configurations_own_words(name, typed, words):
    assert problem_of(FIELD[name], typed).startswith(words)


def test_only_fields_that_may_be_wrong_can_be():
    """The tab has a place for a message beside just these."""
    for field in FIELDS:
        if not field.may_be_wrong:
            for typed in ("", "x", "a,,b", "yes"):
                assert problem_of(field, typed) == ""
