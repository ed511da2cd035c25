"""Every command explains itself, with examples, and stands in docs/cli.md with its options and exit codes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.exits import ExitCode

DOCS = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")


def commands(group=None, path=()):
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = {" ".join(path): command for path, command in commands()}


def options_of(command):
    return [
        p
        for p in command.params
        if p.param_type_name == "option" and not p.hidden and p.name != "help"
    ]


def test_the_promised_verbs_are_there():
    promised = [
        "runs",
        "show",
        "tail",
        "export",
        "tensorboard",
        "verify",
        "replay",
        "recover",
        "doctor",
        "demo",
    ]
    promised += [f"daemon {verb}" for verb in ("start", "stop", "status", "run")]
    assert set(promised) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_its_help_says_what_it_does_and_ends_in_examples(name):
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert result.exit_code == 0
    text, examples = result.output.split("Examples:\n")
    assert len(text.splitlines()[2].strip()) > 10
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    assert all(line.startswith(f"exptrack {name}") for line in lines)
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", ALL)
def test_every_option_explains_itself_and_home_is_always_one(name):
    options = options_of(ALL[name])
    assert all(option.help for option in options)
    assert "--home" in [flag for option in options for flag in option.opts]


@pytest.mark.parametrize("name", ALL)
def test_verb_and_options_stand_in_the_documentation(name):
    (section,) = re.findall(
        rf"^## exptrack {name}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL
    )
    flags = {
        flag for option in options_of(ALL[name]) for flag in option.opts if flag.startswith("--")
    }
    missing = {flag for flag in flags - {"--home"} if flag not in section}
    assert not missing


def test_every_exit_code_stands_in_the_documentation():
    for code in ExitCode:
        assert re.search(rf"^\| {int(code)} \|", DOCS, re.MULTILINE), code


def test_every_field_of_the_json_stands_in_the_documentation(tmp_path):
    from exptrack_daemon.cli import machine
    from exptrack_daemon.store import open_home
    from exptrack_daemon.store.verify import verify_run
    from tests.support.homes import HomeBuilder

    HomeBuilder(tmp_path).finished_run("r")
    view = open_home(tmp_path).find("r")
    documents = [
        machine.show_document(view, [], {}),
        machine.show_document(view, [], {})["streams"][0],
        machine.verdict_document(verify_run(open_home(tmp_path), "r")),
    ]
    fields = {field for document in documents for field in document}
    fields |= {"items", "reason", "lag_rows", "dead_letters"}
    assert not {field for field in fields if f"`{field}`" not in DOCS}


def test_the_first_lines_fit_the_list_of_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert "..." not in result.output.split("Commands:")[1]


def test_no_verb_reads_its_docstring_from_elsewhere():
    assert all(inspect.getdoc(command.callback) for command in ALL.values())
