"""Which module each verb is in: only that of the verb that was asked for is loaded.

`exptrack --help` and the shell's completion need names and one line each, which stand here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

import typer
from typer.main import get_command

from exptrack_daemon.cli.sparing import SparingGroup


class Verb(NamedTuple):
    module: str
    about: str
    """The first line of its help."""


VERBS = {
    "runs": Verb("listing", "List runs, newest first."),
    "show": Verb("listing", "Show all about one run."),
    "tail": Verb("following", "Follow a run live."),
    "top": Verb("top", "Watch all running runs live."),
    "export": Verb("exporting", "Write every value of a run, exactly once."),
    "plot": Verb("plotting", "Draw runs: into a file, or here."),
    "compare": Verb("comparing", "Compare runs: config differences, last and best values."),
    "tensorboard": Verb("viewing", "Start TensorBoard, for all runs or one."),
    "ui": Verb("studio", "Open the studio: all runs, live charts, comparison."),
    "stop": Verb("stopping", "Ask a running run to stop."),
    "tag": Verb("annotating", "Add and remove tags of a run, or rename it."),
    "note": Verb("annotating", "Write down what a run is about."),
    "rm": Verb("removing", "Move runs to the trash."),
    "trash": Verb("removing", "Show what was removed, or empty the trash."),
    "restore": Verb("removing", "Bring runs back from the trash."),
    "gc": Verb("collecting", "Free disk space by a rule."),
    "verify": Verb("verifying", "Check that every row is accounted for."),
    "replay": Verb("verifying", "Rebuild one sink of a run from the journal."),
    "recover": Verb("daemon", "Bring in the rows that dead trainers left."),
    "doctor": Verb("doctor", "Look whether all is in order, and how to mend it."),
    "rerun": Verb("rerun", "Show (or run) the command of a run, in its state."),
    "demo": Verb("viewing", "Train a small model and see it everywhere."),
    "daemon": Verb("daemon", "Start, stop and look at the logger daemon of a home folder."),
    "keys": Verb("keys", "Keys for trainers on other machines."),
}


class Commands(MutableMapping[str, Any]):
    """All verbs by name, each loaded when it is taken."""

    def __init__(self, app: typer.Typer, loaded: MutableMapping[str, Any]) -> None:
        self._app = app
        self.loaded = loaded

    def __getitem__(self, name: str) -> Any:
        if name not in self.loaded:
            importlib.import_module(f"{__package__}.{VERBS[name].module}")
            known = get_command(self._app).commands.loaded  # type: ignore[attr-defined]
            self.loaded = {**known, **self.loaded}
        return self.loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class VerbGroup(SparingGroup):
    """The command line itself."""

    def __init__(self, **attributes: Any) -> None:
        from exptrack_daemon.cli.frame import app

        super().__init__(**attributes)
        self.commands = Commands(app, self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands, of which none is loaded for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.about) for name, verb in VERBS.items()])
