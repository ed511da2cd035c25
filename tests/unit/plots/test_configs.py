"""Keys that differ, and which runs are seeds of one another."""

from __future__ import annotations

import pytest

from exptrack_daemon.plots.configs import MISSING, differing, group_of, said


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("mlp-seed3", "mlp"),
        ("mlp_seed=3_wide", "mlp_wide"),
        ("seed1-mlp", "mlp"),
        ("mlp-s12", "mlp"),
        ("resnet-50", "resnet-50"),
        ("seed7", "seed7"),
        ("plain", "plain"),
    ],
)
def test_a_name_without_its_seed(name, group):
    assert group_of(name, {}, None) == group


def test_a_number_that_is_the_configured_seed_goes_too():
    assert group_of("mlp-3-wide", {"seed": 3}, None) == "mlp-wide"
    assert group_of("resnet-50", {"seed": 3}, None) == "resnet-50"


def test_a_key_of_the_config_nested_or_missing():
    assert group_of("x", {"opt": {"lr": 0.1}}, "opt.lr") == "opt.lr=0.1"
    assert group_of("x", {}, "opt.lr") == "opt.lr: none"


def test_only_keys_that_differ():
    found = differing([{"a": 1, "b": {"c": 1}}, {"a": 1, "b": {"c": 2}, "d": None}])
    assert found == {"b.c": [1, 2], "d": [MISSING, None]}
    assert differing([{"a": 1}, {"a": True}])["a"] == [1, True]


def test_values_in_few_characters():
    values = (MISSING, True, None, 0.1, 3, "x")
    assert [said(value) for value in values] == ["–", "true", "none", "0.1", "3", "x"]
