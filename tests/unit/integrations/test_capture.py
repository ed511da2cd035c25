"""What is printed stands in the run, and is printed all the same."""

# ruff: noqa: T201

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import exptrack_agent as xt
from exptrack_agent.integrations.capture import capture_output
from tests.unit.integrations.reading import recovered


def test_lines_are_kept_printed_and_the_streams_given_back(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    before = (sys.stdout, sys.stderr)
    run = xt.init(home=home, mode="offline")
    with capture_output(run):
        print("one")
        print("two", end="")
        print("odd", file=sys.stderr)
        assert sys.stdout is not before[0]
        assert sys.stdout.isatty() is False
    assert (sys.stdout, sys.stderr) == before
    print("after")
    run.finish()
    assert capsys.readouterr() == ("one\ntwoafter\n", "odd\n")
    (kept,) = recovered(home)
    assert kept.texts("console/stdout") == ["```\none\ntwo\n```"]
    assert kept.texts("console/stderr") == ["```\nodd\n```"]


def test_of_a_progress_bar_the_last_state_of_a_line_counts(home: Path):
    run = xt.init(home=home, mode="offline")
    with capture_output(run, stderr=False):
        for percent in (0, 50, 100):
            sys.stdout.write(f"\r{percent} %")
        sys.stdout.write("\n")
    run.finish()
    (kept,) = recovered(home)
    assert kept.texts("console/stdout") == ["```\n100 %\n```"]


def test_beyond_the_bound_it_is_printed_only_and_a_note_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    run = xt.init(home=home, mode="offline")
    with capture_output(run, most_bytes=10):
        for _ in range(100):
            print("123456789")
    run.finish()
    assert capsys.readouterr().out.count("123456789") == 100
    (kept,) = recovered(home)
    assert kept.texts("console/stdout") == ["```\n123456789\n```"]
    assert "stdout" in kept.view.facts.notes[0].text


def test_many_lines_go_in_several_texts_before_the_end(home: Path):
    run = xt.init(home=home, mode="offline")
    with capture_output(run):
        sys.stdout.writelines(f"{number}\n" for number in range(450))
        assert run.sequence == 3  # the opening and two texts
    run.finish()
    (kept,) = recovered(home)
    assert [item.step for item in kept.media("TextItem")] == [0, 1, 2]


def test_a_stream_that_somebody_replaced_meanwhile_stays_replaced(home: Path):
    run = xt.init(home=home, mode="offline")
    before = sys.stdout
    capture = capture_output(run, stderr=False)
    other = sys.stdout = io.StringIO()
    try:
        capture.close()
        assert sys.stdout is other
    finally:
        sys.stdout = before
    run.finish()


def test_printing_goes_on_when_the_run_is_over(home: Path, capsys: pytest.CaptureFixture[str]):
    run = xt.init(home=home, mode="offline")
    with capture_output(run):
        run.finish()
        print("late")
    assert capsys.readouterr().out == "late\n"
