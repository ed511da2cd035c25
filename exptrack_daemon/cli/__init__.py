"""The command line: one file a group of verbs. `render` and `machine` are pure, the rest is shell."""

from typer.models import CommandInfo

from exptrack_daemon.cli import (
    annotating,
    collecting,
    comparing,
    daemon,
    doctor,
    exporting,
    following,
    keys,
    listing,
    plotting,
    removing,
    rerun,
    stopping,
    studio,
    top,
    verifying,
    viewing,
)
from exptrack_daemon.cli.frame import app


def _name(command: CommandInfo) -> str:
    return str(command.name or getattr(command.callback, "__name__", ""))


__all__ = [
    "annotating",
    "app",
    "collecting",
    "comparing",
    "daemon",
    "doctor",
    "exporting",
    "following",
    "keys",
    "listing",
    "plotting",
    "removing",
    "rerun",
    "stopping",
    "studio",
    "top",
    "verifying",
    "viewing",
]

_ORDER = (
    *("runs", "show", "tail", "top", "export", "plot", "compare", "tensorboard", "ui"),
    *("stop", "tag", "note", "rm", "trash", "restore", "gc"),
    *("verify", "replay", "recover", "doctor", "rerun", "demo"),
)
app.registered_commands.sort(key=lambda command: _ORDER.index(_name(command)))
