"""The picture's lines from a real journal."""

from __future__ import annotations

import math
from pathlib import Path

from exptrack_daemon.plots.reading import read_lines
from exptrack_daemon.store.reader import open_home
from tests.support.homes import HomeBuilder


def lines_of(home: HomeBuilder, run_id: str, rank: int = 0):
    return read_lines(open_home(home.path), run_id, rank)


def test_each_line_has_the_first_name_that_was_logged(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    stream = run.stream()
    for step in range(5):
        stream.log({"loss": 1.0, "train/accuracy": step, "accuracy": 0.0, "noise": "text"}, step)
    stream.log({"loss": "text", "train/accuracy": None}, 5)
    stream.log({"loss": math.nan, "train/accuracy": True}, 6)
    run.close()
    found, lines = lines_of(builder, "r")
    assert {key: name for key, (name, line) in found.items() if line.points} == {
        "loss": "loss",
        "accuracy": "train/accuracy",
    }
    assert found["accuracy"][1].values.tolist() == [0, 1, 2, 3, 4, 1]
    assert found["loss"][1].odd_steps.tolist() == [6]
    assert (lines.rows, lines.last_step) == (7, 6)


def test_ranks_do_not_mix(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    run.stream(rank=0).log({"train/loss": 1.0}, 0)
    run.stream(rank=1).log({"train/loss": 2.0}, 0)
    run.close()
    assert lines_of(builder, "r")[0]["loss"][1].values.tolist() == [1.0]
    assert lines_of(builder, "r", rank=1)[0]["loss"][1].values.tolist() == [2.0]


def test_a_newer_attempt_replaces_what_it_repeats(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    first = run.stream()
    for step in range(10):
        first.log({"train/loss": 1.0}, step)
    second = run.stream()
    for step in range(5, 8):
        second.log({"train/loss": 2.0}, step)
    first.log({"train/loss": 3.0}, 10)
    run.close()
    line = lines_of(builder, "r")[0]["loss"][1]
    assert line.values.tolist() == [1.0] * 5 + [2.0] * 3


def test_an_empty_run_has_lines_without_points(home: Path):
    builder = HomeBuilder(home)
    run = builder.run("r")
    run.stream()
    run.close()
    found, lines = lines_of(builder, "r")
    assert all(line.points == 0 for _, line in found.values())
    assert lines.last_step is None
