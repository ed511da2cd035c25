"""Which run a person means."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.store.finding import choose

RUNS = [
    RunInfo("abc1", "mnist", "baseline", 1),
    RunInfo("abd2", "mnist", "wide", 3),
    RunInfo("xyz", "llm", "baseline", 2),
    RunInfo("wide", "llm", "odd", 0),
]


def find(text):
    return choose(text, RUNS, Path("/home"))


def test_id_unique_beginning_name_project_and_name_and_latest_are_found():
    assert [find(t) for t in ("abc1", "abc", "odd", "llm/baseline", "latest")] == [
        *("abc1", "abc1", "wide", "xyz", "abd2")
    ]


def test_an_id_goes_before_a_name():
    assert find("wide") == "wide"


@pytest.mark.parametrize("text", ["ab", "baseline"])
def test_what_fits_more_than_one_names_them(text):
    with pytest.raises(
        RunNotFound, match=r"2 runs fit .*abc1 \(mnist/baseline\).*give one of the ids"
    ):
        find(text)


def test_what_fits_none_names_near_ones():
    with pytest.raises(RunNotFound, match="did you mean baseline"):
        find("basline")
    with pytest.raises(RunNotFound, match=r"exptrack runs"):
        find("")


def test_an_empty_home_says_so():
    with pytest.raises(RunNotFound, match="no runs in /home"):
        choose("latest", [], Path("/home"))


def test_a_very_long_text_is_answered_at_once():
    with pytest.raises(RunNotFound) as caught:
        find("a" * 10_000)
    assert len(str(caught.value)) < 500
