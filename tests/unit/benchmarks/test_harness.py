"""What holds for every benchmark."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.harness import Plan, benchmark_names
from benchmarks.results import Goal


def test_a_quick_plan_picks_the_second():
    assert Plan(True, print).pick(10, 2) == 2
    assert Plan(False, print).pick(10, 2) == 10


def test_a_plan_wants_all_parts_unless_some_are_named():
    assert Plan(True, print).wants("trailer")
    assert Plan(True, print, ("trailer",)).wants("trailer")
    assert not Plan(True, print, ("trailer",)).wants("trackio")


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_asks_a_question_and_says_what_would_be_good(name: str):
    module = importlib.import_module(f"benchmarks.{name}")

    assert module.QUESTION.endswith("?")
    assert module.__doc__
    assert module.GOALS
    assert all(isinstance(goal, Goal) for goal in module.GOALS)
    assert callable(module.run)
