"""runs --group-by: one line for runs that have a value in common."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from tests.support.homes import HomeBuilder

HOSTILE = "\x1b[31m\n\u202e"


@pytest.fixture
def home(tmp_path):
    builder = HomeBuilder(tmp_path)
    given = [(0.1, 1.0), (0.1, 3.0), (0.2, float("nan")), (HOSTILE, 9.0), ([1, {"a": 2}], 5.0)]
    for number, (lr, loss) in enumerate(given):
        run = builder.run(f"r{number}", age_s=100 - number)
        stream = run.stream(config={"opt": {"lr": lr}, "lr": lr})
        stream.log({"loss": loss})
        stream.close(*(("failed", 1) if number == 1 else ()))
        run.close()
    return builder


def run_cli(home, *arguments):
    asked = ["runs", *arguments, "--home", str(home.path)]
    result = CliRunner().invoke(app, asked, env={"COLUMNS": "100"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_runs_of_one_value_stand_in_one_line_with_mean_and_deviation(home):
    shown = run_cli(home, "--group-by", "config.opt.lr", "-c", "loss", "--sort", "created").stdout
    titles, first, second, third, fourth = (line.split() for line in shown.splitlines())
    assert titles == ["CONFIG.OPT.LR", "RUNS", "STATUS", "loss", "UPDATED"]
    assert first[:9] == ["0.1", "2", "1", "finished,", "1", "failed", "2", "±", "1.4"]
    assert second[:5] == ["0.2", "1", "1", "finished", "–"]
    assert third[1:5] == ["1", "1", "finished", "9"]
    assert "\x1b" not in shown
    assert fourth[-2] == "5"


def test_the_limit_counts_groups_and_the_rest_is_told(home):
    shown = run_cli(home, "--group-by", "status", "-n", "1").stdout
    assert "4 finished" not in shown.splitlines()[0]
    assert shown.splitlines()[-1] == "… and 1 more group"


def test_groups_for_machines_name_their_runs(home):
    told = json.loads(run_cli(home, "loss<4", "--group-by", "lr", "-c", "loss", "--json").stdout)
    assert told == [
        {
            "group": 0.1,
            "runs": ["r1", "r0"],
            "statuses": {"failed": 1, "finished": 1},
            "values": {"loss": {"mean": 2.0, "std": pytest.approx(2**0.5), "runs": 2}},
        }
    ]
    assert json.loads(run_cli(home, "loss>100", "--group-by", "lr", "--json").stdout) == []


def test_a_name_that_no_run_has_is_told(home):
    result = run_cli(home, "--group-by", "optt")
    assert "no run has 'optt'; keys of configs are asked for as config.KEY" in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["–", "5"]
