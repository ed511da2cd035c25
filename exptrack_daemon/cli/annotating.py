"""`exptrack tag` and `exptrack note`: what people say about a run afterwards."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, RunArgument, app, reading, show_notices, verb
from exptrack_daemon.cli.render import clean


@verb(
    app,
    examples=[
        "exptrack tag latest baseline good",
        "exptrack tag 3f2a +paper --remove good",
        "exptrack tag latest --name 'wide net'",
    ],
)
def tag(
    run: RunArgument,
    tags: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TAG…", help="Tags to add; a + before one may be.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", "-r", metavar="TAG", help="Take a tag away.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Call it so; '' is its own name again."),
    ] = None,
) -> None:
    """Add and remove tags of a run, or rename it.

    The journal keeps what the run was begun as.
    """
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    added = [text.removeprefix("+") for text in tags or ()]
    if not added and not remove and name is None:
        raise UsageWrong(f"say which tags: exptrack tag {view.id} TAG, or --remove TAG")
    after = reader.annotate(view.id, name=name, add_tags=added, remove_tags=remove or ())
    shown = ", ".join(clean(text, 60) for text in after.tags) or "no tags"
    typer.echo(f"{clean(after.project, 40)}/{clean(after.name, 60)} ({view.id}): {shown}")


@verb(
    app,
    examples=[
        "exptrack note latest 'diverged after step 900: lr too high'",
        "exptrack note latest < findings.txt",
        "exptrack note latest    # opens $EDITOR",
    ],
)
def note(
    run: RunArgument,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="Without it: from standard input, else $EDITOR.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    append: Annotated[
        bool, typer.Option("--append", "-a", help="After what is written, not instead of it.")
    ] = False,
) -> None:
    """Write down what a run is about.

    Replaces the notes it was begun with; '' clears them.
    """
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    before = view.run.notes
    given = text if text is not None else _asked("" if append else before)
    if given is None:
        typer.echo("Nothing was changed.")
        return
    notes = "\n".join(part for part in (before, given) if part) if append else given
    reader.annotate(view.id, notes=notes.strip())
    typer.echo(f"Noted for {clean(view.run.name, 60)} ({view.id}).")


def _asked(before: str) -> str | None:
    """What comes from standard input, or what the editor was left with; None: left without saving."""
    if not sys.stdin.isatty():
        return sys.stdin.read()
    return click.edit(before, extension=".txt")
