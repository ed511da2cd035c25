"""Only the module of the verb that was asked for is loaded, and only what that needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.verbs import VERBS
from tests.support.homes import HomeBuilder

HEAVY = {
    *("numpy", "pyarrow", "pandas", "duckdb", "matplotlib", "gradio", "starlette", "torch"),
    *("tensorboard", "wandb", "mlflow", "pydantic", "zmq", "psutil", "exptrack_daemon.plots"),
}
LOADED = """
import sys
from exptrack_daemon.__main__ import main
sys.argv = ["exptrack", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write("\\n".join(sys.modules))
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout
    return set(done.stderr.splitlines())


def test_help_loads_no_verb_and_nothing_that_verbs_need():
    loaded = loaded_by("--help")
    assert not loaded & {*HEAVY, "rich", "msgspec", "sqlite3", "exptrack_daemon.store"}
    assert not {name for name in loaded if name.startswith("exptrack_daemon.cli.list")}


@pytest.mark.parametrize("verb", [["runs"], ["show", "latest"], ["tail", "latest"], ["stop", "-h"]])
def test_a_verb_that_reads_loads_its_own_module_and_no_heavy_library(verb, tmp_path):
    HomeBuilder(tmp_path).finished_run("r")
    loaded = loaded_by(*verb, "--home", str(tmp_path))
    assert not loaded & HEAVY
    assert f"exptrack_daemon.cli.{VERBS[verb[0]].module}" in loaded
    assert "exptrack_daemon.cli.comparing" not in loaded


def test_what_help_says_of_a_verb_is_the_first_line_of_its_own():
    commands = get_command(app).commands
    assert list(commands) == list(VERBS)
    for name, verb in VERBS.items():
        assert commands[name].get_short_help_str(100) == verb.about


def test_a_mistyped_verb_is_told_with_what_may_be_meant():
    result = CliRunner().invoke(app, ["rnus"])
    assert result.exit_code == 2
    assert "No such command 'rnus'. Did you mean 'runs'?" in result.output
