"""`exptrack keys new|list|allow|revoke`: who on other machines may send rows to this home's daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from exptrack_daemon.cli.exits import UsageWrong
from exptrack_daemon.cli.frame import HomeOption, JsonOption, app, home_path, verb
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.render import clean
from exptrack_daemon.cli.sparing import SparingGroup
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.keys import allowed, is_key, is_name, make_keys, own_keys, save_allowed

group = typer.Typer(
    cls=SparingGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keys for trainers on other machines.",
    epilog="\b\nExamples:\n  exptrack keys new\n  exptrack keys list",
)
app.add_typer(group, name="keys")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What you call that machine.")]


@verb(group, examples=["exptrack keys new", "exptrack keys new --replace"])
def new(
    home: HomeOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Throw the old pair away; who knew it is locked out.")
    ] = False,
) -> None:
    """Make this home's pair of keys, and print the public one."""
    where = Home(home_path(home))
    if own_keys(where) is not None and not replace:
        raise UsageWrong(
            "this home has a pair already (`exptrack keys list`); --replace makes another"
        )
    typer.echo(make_keys(OsFiles(), where).public)


@verb(group, name="list", examples=["exptrack keys list", "exptrack keys list --json"])
def list_(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show this home's public key, and whom its daemon lets in."""
    where = Home(home_path(home))
    pair, others = own_keys(where), allowed(where)
    if json:
        typer.echo(dumps({"own": pair.public if pair else None, "allowed": others}))
        return
    typer.echo(f"own      {pair.public if pair else '(none: exptrack keys new)'}")
    for name, key in sorted(others.items()):
        typer.echo(f"allowed  {key}  {clean(name)}")


@verb(group, examples=["exptrack keys allow gpu-7 'the public key that keys new printed there'"])
def allow(
    name: NameArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its public key, 40 characters.")],
    home: HomeOption = None,
) -> None:
    """Let a machine in by its public key."""
    if not is_name(name):
        raise UsageWrong("a name has 1 to 64 of A-Z a-z 0-9 . _ -")
    if not is_key(key):
        raise UsageWrong(
            "that is no public key: it has 40 characters, as `exptrack keys new` prints it"
        )
    where = Home(home_path(home))
    save_allowed(OsFiles(), where, {**allowed(where), name: key})


@verb(group, examples=["exptrack keys revoke gpu-7"])
def revoke(name: NameArgument, home: HomeOption = None) -> None:
    """Let a machine in no more, from its next connection on; restart the daemon to cut it off at once."""
    where = Home(home_path(home))
    others = allowed(where)
    if name not in others:
        raise UsageWrong(f"no machine is called {clean(name)}; `exptrack keys list` shows them")
    save_allowed(OsFiles(), where, {other: key for other, key in others.items() if other != name})
