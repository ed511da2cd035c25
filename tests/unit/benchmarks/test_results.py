"""Reports, goals, and result files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import Goal, Report, Session, load, save
from benchmarks.stats import Spread


def report(**values: list[float]) -> Report:
    made = Report("speed", "How fast?")
    for name, numbers in values.items():
        for number in numbers:
            made.add(name, "ms", number)
    return made


def test_the_median_is_held_against_the_goal():
    goal = Goal(measure="a", at_most=10)

    assert goal.is_met(Spread(10, 5, 30))
    assert not goal.is_met(Spread(10.1, 5, 30))


def test_more_may_be_better():
    goal = Goal(measure="a", at_least=10)

    assert goal.is_met(Spread(10, 5, 30))
    assert not goal.is_met(Spread(9.9, 5, 30))


def test_where_the_worst_counts_one_bad_repeat_misses_the_goal():
    assert not Goal(measure="a", at_most=0, worst_counts=True).is_met(Spread(0, 0, 1))
    assert not Goal(measure="a", at_least=5, worst_counts=True).is_met(Spread(9, 4, 9))


def test_the_ratio_is_taken_to_the_baseline_of_the_same_run():
    made = report(ours=[2, 4, 6], theirs=[8], nothing=[0])

    assert made.ratio(Goal(measure="ours", at_most=1, baseline="theirs")) == 0.5
    assert made.ratio(Goal(measure="ours", at_most=1, baseline="nothing")) is None
    assert made.ratio(Goal(measure="ours", at_most=1)) is None


def test_a_session_reads_back_as_it_was_saved(tmp_path: Path):
    made = report(ours=[2, 4, 6], theirs=[8])
    made.goals.append(Goal(measure="ours", at_most=5, later=3, baseline="theirs"))
    made.notes.append("a note")
    made.wall_s, made.stolen_share = 1.5, 0.25
    path = tmp_path / "results" / "one.json"

    save(Session({"cores": 2}, [made], is_quick=True), path)

    assert load(path) == Session({"cores": 2}, [made], is_quick=True)


def test_what_is_no_result_file_is_refused(tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_text('{"format": 99}')

    with pytest.raises(ValueError, match="no result file"):
        load(path)
