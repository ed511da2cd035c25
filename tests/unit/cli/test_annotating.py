"""runs with filters, tag, note: what a person types and gets."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.store import open_home
from tests.support.homes import HomeBuilder


@pytest.fixture
def home(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r1", project="mnist", name="wide", tags=["a"], config={"lr": 0.1})
    home.finished_run("r2", rows=9, project="mnist", name="deep", config={"lr": 0.2})
    return home


def run_cli(home, *arguments, code=0, **options):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout + result.stderr if code else result.stdout


def ids(home, *arguments):
    return [run["id"] for run in json.loads(run_cli(home, "runs", "--json", *arguments))]


def test_runs_are_filtered_and_sorted(home):
    assert ids(home, "loss<0.2") == ["r2"]
    assert ids(home, "--filter", "tag:a") == ["r1"]
    assert ids(home, "loss<1 or x", "--filter", "config.lr>=0.1", "--sort", "loss") == ["r2", "r1"]
    assert ids(home, "--sort", "-loss", "-n", "1") == ["r1"]
    assert run_cli(home, "runs", "tag:no") == "No run fits.\n"


def test_columns_take_the_place_of_steps_and_points(home):
    lines = run_cli(home, "runs", "-c", "loss, config.lr,absent").splitlines()
    assert lines[0].split() == [
        "ID",
        "STATUS",
        "PROJECT/NAME",
        "loss",
        "config.lr",
        "absent",
        "UPDATED",
    ]
    assert lines[1].split()[3:6] == ["0.111111", "0.2", "–"]
    shown = json.loads(run_cli(home, "runs", "tag:a", "-c", "loss,config.lr", "--json"))
    assert shown[0]["values"] == {"loss": 1 / 3, "config.lr": 0.1}


def test_a_filter_that_cannot_be_read_is_shown_with_its_place(home):
    shown = run_cli(home, "runs", "loss<", code=2)
    assert "a value is missing after loss<\n  loss<\n       ^" in shown


def test_a_name_nobody_has_is_told_beside_the_list(home):
    result = CliRunner().invoke(app, ["runs", "los<1", "--home", str(home.path)])
    assert (result.exit_code, result.stdout) == (0, "No run fits.\n")
    assert "did you mean loss?" in result.stderr


def test_tags_and_names_are_changed_and_seen_everywhere(home):
    shown = run_cli(home, "tag", "wide", "+good", "fine", "--remove", "a", "--name", "best")
    assert shown == "mnist/best (r1): good, fine\n"
    assert "mnist/best" in run_cli(home, "runs", "tag:good")
    assert "good, fine" in run_cli(home, "show", "best")
    assert json.loads(run_cli(home, "show", "best", "--json"))["tags"] == ["good", "fine"]
    assert run_cli(home, "tag", "best", "--name", "") == "mnist/wide (r1): good, fine\n"


def test_tag_asks_what_to_do_and_refuses_what_no_tag_is(home):
    assert "say which tags" in run_cli(home, "tag", "r1", code=2)
    assert "at most" in run_cli(home, "tag", "r1", "t" * 300, code=2)
    assert "no run" in run_cli(home, "tag", "nope", "x", code=3)


def test_notes_come_from_the_argument_or_from_standard_input(home):
    assert run_cli(home, "note", "r1", "too high") == "Noted for wide (r1).\n"
    run_cli(home, "note", "r1", "--append", input="and\ntoo \x1b[31mlong\n")
    assert open_home(home.path).view("r1").run.notes == "too high\nand\ntoo \x1b[31mlong"
    shown = run_cli(home, "show", "r1")
    assert "\x1b" not in shown
    assert r"too \x1b[31mlong" in shown
    run_cli(home, "note", "r1", "")
    assert open_home(home.path).view("r1").run.notes == ""


def test_the_shell_completes_names_and_ids_of_runs(home):
    from types import SimpleNamespace

    from exptrack_daemon.cli.frame import complete_run

    def completed(text, path=home.path):
        return [name for name, _ in complete_run(SimpleNamespace(params={"home": path}), text)]

    assert completed("wi") == ["wide"]
    assert completed("r") == ["r2", "r1"]
    assert completed("", home.path / "none") == []
