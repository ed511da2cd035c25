"""Which runs a picture is of, and how they are called in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from exptrack_daemon.plots.options import NothingToDraw, PlotRefused
from exptrack_daemon.store.reader import HomeReader, RunView


def views(reader: HomeReader, runs: Sequence[str], kind: str, most: int | None) -> list[RunView]:
    """The runs by id (or by what else `find` takes), each once.

    Raises:
        PlotRefused: there are more than this kind can show.
        RunNotFound: one is not there.
    """
    known = {view.id: view for view in reader.views(list(dict.fromkeys(runs)))}
    found = {
        view.id: view for view in (known[run] if run in known else reader.find(run) for run in runs)
    }
    if not found:
        raise NothingToDraw("name at least one run")
    if most is not None and len(found) > most:
        runs_said = "one run" if most == 1 else f"at most {most} runs"
        raise PlotRefused(f"a {kind} picture shows {runs_said}, not {len(found)}")
    return list(found.values())


def title_of(run: RunView) -> str:
    return f"{run.run.project} / {run.run.name}"


def names_of(runs: Sequence[RunView]) -> list[str]:
    """A name for each, told apart: by name, where that is taken by project too, else by id."""
    names = [run.run.name for run in runs]
    for longer in (title_of, lambda run: f"{run.run.name} ({run.id})"):
        taken = Counter(names)
        names = [
            name if taken[name] == 1 else longer(run) for name, run in zip(names, runs, strict=True)
        ]
    return names


def common_title(runs: Sequence[RunView]) -> str:
    """What the runs are, in one line."""
    if len(runs) == 1:
        return title_of(runs[0])
    projects = list(dict.fromkeys(run.run.project for run in runs))
    shown = ", ".join(projects[:3]) + (" …" if len(projects) > 3 else "")
    return f"{shown} / {len(runs)} runs"
