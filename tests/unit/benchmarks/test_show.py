"""Numbers and goals in words, and the picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import Goal, Report, Session
from benchmarks.show import (
    console,
    curves_of,
    goal_cells,
    goals_markdown,
    limits,
    number,
    panels_of,
    plot,
    print_report,
)


def latency_report() -> Report:
    report = Report(
        "hot_path", "How long?", goals=[Goal(measure="log: p50", at_most=2.5, later=1.8)]
    )
    for value in (1.0, 2.0, 3.0):
        report.add("log: p50", "µs", value)
        report.add("log: p99", "µs", 10 * value)
        report.add("memory", "MB", value)
    return report


def test_numbers_have_three_figures():
    assert number(0) == "0"
    assert number(0.01234) == "0.0123"
    assert number(2.345) == "2.35"
    assert number(123_456.7) == "123,457"


def test_a_goal_in_words():
    assert limits(Goal(measure="a", at_most=2.5, later=1.8)) == "≤ 2.50 [1.80]"
    assert limits(Goal(measure="a", at_least=1)) == "≥ 1.00"


def test_a_goal_says_whether_it_is_met():
    report = latency_report()

    assert goal_cells(report, report.goals[0])[-1] == "met"
    assert goal_cells(report, Goal(measure="memory", at_most=1))[-1] == "MISSED"


def test_latencies_stand_in_one_line_and_the_rest_below():
    with console.capture() as capture:
        print_report(latency_report())
    lines = capture.get().splitlines()

    assert any("log" in line and "2.00" in line and "20.00" in line for line in lines)
    assert any("memory" in line and "1.00 – 3.00" in line for line in lines)


def test_goals_become_a_table_for_a_document():
    text = goals_markdown([latency_report()])

    assert text.splitlines()[0].startswith("| question | measured |")
    assert "| hot_path | log: p50 | ≤ 2.50 [1.80] µs | 2.00 | 1.00 – 3.00 | – | – | met |" in text


def test_latencies_of_one_thing_share_a_line_of_the_picture():
    latencies, memory = panels_of(latency_report())

    assert {what: list(line) for what, line in latencies.lines.items()} == {"log": ["p50", "p99"]}
    assert list(memory.lines) == ["memory"]


def test_the_picture_is_a_file(tmp_path: Path):
    path = tmp_path / "new" / "picture.png"

    plot(Session({}, [latency_report()]), path)

    assert path.read_bytes().startswith(b"\x89PNG")


def test_measures_with_a_size_become_a_curve_with_its_exponent(tmp_path: Path):
    report = Report("end_to_end", "How much?")
    for size in (100, 1_000, 10_000):
        report.add(f"all processes, with points = {size:,}", "CPU s", 3.0 * size**1.5)
    (curve,) = curves_of(report)
    assert (curve.of, curve.sizes) == ("points", [100, 1_000, 10_000])
    assert curve.exponent == pytest.approx(1.5)
    assert panels_of(report) == []
    plot(Session({}, [report, latency_report()]), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1_000


def test_one_size_is_no_curve():
    report = Report("end_to_end", "How much?")
    report.add("all processes, with points = 100", "CPU s", 1.0)
    assert curves_of(report) == []
