"""The frame that every verb stands in: the app, its shared options, and how an error leaves it.

`exptrack --help` loads no more than this module does: what a verb needs is loaded with it.

A verb is registered with `verb(app, …)`: its help ends in examples, and whatever it raises for a person
becomes one red line on standard error and an exit code.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from exptrack_daemon.cli.exits import ExitCode, code_of
from exptrack_daemon.cli.sparing import SparingCommand
from exptrack_daemon.cli.verbs import VerbGroup
from exptrack_daemon.errors import ExptrackError

if TYPE_CHECKING:
    from exptrack_daemon.store.reader import HomeReader

_MOST_COMPLETED = 50
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="EXPTRACK_HOME",
        metavar="DIR",
        help="The home folder; default ~/.exptrack.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines: JSON, stable fields.")]


def complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names and ids of runs that begin so, for the shell; newest first, none where the home can't be read."""
    from exptrack_daemon.cli.render import clean

    try:
        infos = reading(ctx.params.get("home")).infos()
    except ExptrackError:
        return []
    newest = sorted(infos, key=lambda run: -run.created_ns)
    named = [(run.name, run.run_id) for run in newest] + [(run.run_id, run.name) for run in newest]
    fits = [(text, clean(other, 60)) for text, other in named if text.startswith(incomplete)]
    return [pair for pair in fits if pair[0].isprintable()][:_MOST_COMPLETED]


RunArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=complete_run,
        metavar="RUN",
        help="An id, a unique beginning of one, a name, PROJECT/NAME, or `latest`.",
        show_default=False,
    ),
]

app = typer.Typer(
    name="exptrack",
    cls=VerbGroup,
    help="A flight recorder for training: what was logged, where it went, and what became of it.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog="\b\nExamples:\n  exptrack demo\n  exptrack runs\n  exptrack show latest",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _say_version(asked: bool) -> None:
    if asked:
        # not above: it loads the email package, which no other command needs
        from importlib.metadata import version

        typer.echo(f"exptrack {version('exptrack')}")
        raise typer.Exit


@app.callback()
def _main(
    version_: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version."),
    ] = False,
) -> None: ...


def verb(
    group: typer.Typer, *, examples: Sequence[str], name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command."""
    epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)

    def register(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def framed(*arguments: Any, **options: Any) -> None:
            try:
                command(*arguments, **options)
                sys.stdout.flush()
            except ExptrackError as error:
                fail(str(error), code_of(error))
            except BrokenPipeError:
                _leave_pipe()
            except KeyboardInterrupt:
                raise typer.Exit(ExitCode.INTERRUPTED) from None

        return group.command(name, cls=SparingCommand, epilog=epilog)(framed)

    return register


def fail(message: str, code: ExitCode) -> NoReturn:
    """Say why, clearly, then out."""
    from rich.text import Text

    from exptrack_daemon.cli.render import clean, error_console

    lines = "\n".join(clean(line, 4_000) for line in message.splitlines())
    error_console().print(Text(f"exptrack: {lines}", "bold red"))
    raise typer.Exit(int(code))


def reading(home: Path | None) -> HomeReader:
    """The home folder, for reading."""
    from exptrack_daemon.store.reader import open_home

    return open_home(home)


def home_path(home: Path | None) -> Path:
    from exptrack_daemon.store.reader import locate

    return locate(home)


def show_notices(reader: HomeReader) -> None:
    from exptrack_daemon.cli.render import warn

    for notice in reader.notices:
        warn(notice)


def _leave_pipe() -> NoReturn:
    """Whoever read our output has gone (`| head`): leave without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(ExitCode.PIPE_CLOSED)
