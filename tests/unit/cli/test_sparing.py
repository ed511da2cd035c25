"""What commands are handed is what typer would have handed them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from exptrack_daemon.cli.sparing import SparingCommand


class Form(Enum):
    SHORT = "short"


def outcome(command: type | None, arguments: list[str]) -> tuple[int, str, list[object]]:
    app, given = typer.Typer(rich_markup_mode=None, add_completion=False), []

    @app.command(cls=command)
    def run(
        runs: Annotated[list[str] | None, typer.Argument()] = None,
        home: Annotated[Path | None, typer.Option("--home", envvar="SPARING_HOME")] = None,
        only: Annotated[list[str] | None, typer.Option("--only")] = None,
        text: str = "a",
        most: Annotated[int, typer.Option(min=0, max=9)] = 3,
        share: float = 0.5,
        form: Form = Form.SHORT,
        quiet: bool = False,
    ) -> None:
        given.extend([runs, home, only, text, most, share, form, quiet])

    result = CliRunner().invoke(app, arguments, env={"SPARING_HOME": "/from/environment"})
    return result.exit_code, result.output, given


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["a", "b", "--home", "x/y", "--only", "1", "--only", "2", "--quiet"],
        ["--most", "7", "--share", "1e-3", "--form", "short", "--text", ""],
        ["--most", "10"],
        ["--most", "many"],
        ["--form", "long"],
        ["--text"],
        ["--no-quiet", "--home", ""],
    ],
)
def test_a_sparing_command_and_one_of_typers_do_the_same(arguments: list[str]) -> None:
    assert outcome(SparingCommand, arguments) == outcome(None, arguments)
