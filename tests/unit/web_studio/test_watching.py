"""Runs and jobs in words: short, whole, and right for every state."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.store.reader import open_home
from exptrack_daemon.web.studio.jobs import JobSpec, JobView
from exptrack_daemon.web.studio.watching import (
    Progress,
    find_run,
    job_row,
    job_words,
    number,
    progress_of,
    run_choices,
    span,
    step_words,
    summary_rows,
    value_rows,
)
from tests.support.homes import HomeBuilder


def job(state="running", exit_code=None, steps=None):
    spec = JobSpec(title="t", command=["x"], run_id="r", cwd=Path("/"), steps=steps)
    return JobView(
        number=1,
        spec=spec,
        state=state,
        exit_code=exit_code,
        started_ns=0,
        elapsed_s=75,
        ended_s_ago=0,
        output="",
    )


def test_a_job_says_how_it_ended():
    assert job_words(job()) == "Running"
    assert job_words(job("stopped", -15)) == "Stopped, as you asked"
    assert job_words(job("failed", 3)) == "Failed: exit code 3; its last lines stand below"
    assert job_words(job("failed", -9)).startswith("Failed: ended by signal 9")
    assert job_row(job("failed", -9))[2] == "failed (-9)"


def test_progress_is_said_with_and_without_a_known_end():
    assert step_words(job(steps=200), Progress(49)) == "50 of 200 steps (25 %)"
    assert step_words(job(), Progress(1234)) == "step 1,234"
    assert step_words(job(), Progress()) == "no step yet"
    assert step_words(job("failed", 1), Progress()) == "it logged no step"
    assert Progress().done == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1234567, "0.123457"),
        (float("nan"), "NaN"),
        (float("-inf"), "-inf"),
        (1234567, "1,234,567"),
        (True, "true"),
        (["a"], '["a"]'),
        ("<b>", "<b>"),
        ("x" * 400, "x" * 300 + "…"),
    ],
)
def test_values_are_short_and_right(value, words):
    assert number(value) == words


def test_spans_are_short():
    assert [span(9.9), span(75), span(7300)] == ["9 s", "1 min 15 s", "2 h 1 min"]


def test_a_run_is_found_by_its_id_only(home):
    HomeBuilder(home).finished_run("abc", rows=3, name="n", project="p")
    reader = open_home(home)
    assert run_choices(reader) == [("p / n · finished", "abc")]
    assert find_run(reader, "abc").id == "abc"
    for other in (None, "", "n", "..", "../abc", "missing", 3, "a" * 500):
        assert find_run(reader, other) is None
    rows = dict(map(tuple, summary_rows(find_run(reader, "abc"))))
    assert (rows["Run"], rows["Last step"], rows["Lost"]) == ("n", "2", "nothing")
    assert progress_of(reader, "abc") == Progress(2, pytest.approx(1 / 3))
    assert progress_of(reader, "missing") == Progress()


def test_a_run_is_shown_under_the_name_it_has_now(home):
    HomeBuilder(home).finished_run("abc", rows=1, name="n", project="p")
    reader = open_home(home)
    reader.annotate("abc", name="renamed", notes="why")
    assert run_choices(reader) == [("p / renamed · finished", "abc")]
    rows = dict(map(tuple, summary_rows(find_run(reader, "abc"))))
    assert (rows["Run"], rows["Notes"]) == ("renamed", "why")


def test_of_very_many_values_the_first_are_shown_and_the_rest_counted():
    assert value_rows({}) == [["nothing yet", ""]]
    rows = value_rows({f"m{at:03}": at for at in range(100)})
    assert rows[0] == ["m000", "0"]
    assert rows[-1] == ["…", "and 40 more"]
