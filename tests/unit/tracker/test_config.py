"""What an ExperimentConfig takes, what it refuses, and that its message says what to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exptrack_agent as xt
from exptrack_agent.tracker.config import ExperimentConfig


def test_presets_are_what_their_names_promise():
    basic, full, stable = (xt.DEFAULT_CONFIGS[name] for name in xt.DEFAULT_CONFIGS)
    assert (basic.sinks, basic.log_interval) == (("tensorboard",), 10)
    assert (full.sinks, full.log_interval) == (("tensorboard", "wandb"), 5)
    assert full.log_gradients
    assert full.log_images
    assert (stable.sinks, stable.log_interval) == (("tensorboard", "wandb"), 1)
    assert stable.log_gradient_norms
    assert stable.log_nan_inf_counts


def test_a_preset_takes_changes_and_stays_itself():
    changed = ExperimentConfig.preset("Full Tracking", log_interval=3, tags=["a"])
    assert (changed.log_interval, changed.tags, changed.log_gradients) == (3, ("a",), True)
    assert xt.DEFAULT_CONFIGS["Full Tracking"].log_interval == 5


def test_an_unknown_preset_is_told_which_there_are():
    with pytest.raises(xt.Misuse, match="Basic Tracking, Full Tracking, Numerical Stability Focus"):
        ExperimentConfig.preset("basic")


def test_a_setting_that_does_not_exist_is_named_with_a_guess():
    with pytest.raises(xt.Misuse, match=r"'log_intervall' \(did you mean 'log_interval'\?\)"):
        ExperimentConfig.preset("Basic Tracking", log_intervall=3)


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExperimentConfig().log_interval = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("log_interval", 0, "1 or more"),
        ("log_interval", -5, "1 or more, not -5"),
        ("save_interval", 2.5, "number of steps"),
        ("save_interval", True, "number of steps"),
        ("enable_wandb", "yes", "True or False"),
        ("experiment_name", " ", "empty"),
        ("run_name", 3, "text"),
        ("tags", "one", "list of texts"),
        ("tags", [1], "text"),
        ("tensorboard_dir", "", "path of a folder"),
        ("model_save_dir", b"x", "path of a folder"),
        ("config_save_dir", "a\0b", "path of a folder"),
        ("anonymous", 3, "anonymous"),
        ("resume_run", "", "empty"),
        ("metric_names", {"mlflow": {}}, "tensorboard and wandb"),
        ("metric_names", {"wandb": {"epoch/*": "Epoch"}}, "both end in"),
        ("metric_names", {"wandb": 3}, "mapping"),
        ("metric_names", 3, "mapping"),
    ],
)
def test_a_bad_value_gets_one_clear_message(setting: str, value: Any, words: str):
    with pytest.raises(xt.Misuse, match=words) as caught:
        ExperimentConfig(**{setting: value})
    assert setting in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_are_taken_as_texts_or_paths():
    assert ExperimentConfig(tensorboard_dir=Path("a/b")) == ExperimentConfig(tensorboard_dir="a/b")


_NAMES = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "experiment_name": _NAMES,
        "notes": st.text(max_size=50),
        "tags": st.lists(_NAMES, max_size=4),
        "run_name": st.none() | _NAMES,
        "resume_run": st.booleans() | _NAMES,
        "log_interval": st.integers(1, 10**6),
        "enable_wandb": st.booleans(),
        "metric_names": st.just({"tensorboard": {"train/loss": "Loss", "epoch/*": "E/*"}}),
    },
)


@given(_SETTINGS)
def test_a_configuration_survives_its_dictionary(settings: dict[str, Any]):
    config = ExperimentConfig(**settings)
    assert ExperimentConfig.from_dict(config.to_dict()) == config
