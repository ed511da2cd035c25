"""Which run a person means: an id, a unique beginning of one, a name, `PROJECT/NAME`, or `latest`. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.journal.entries import RunInfo

_SHOWN = 5


def choose(text: str, runs: Sequence[RunInfo], home: Path) -> str:
    """The id of the run that `text` means.

    Raises:
        RunNotFound: none fits, or more than one; the message says what to do.
    """
    if not runs:
        raise RunNotFound(f"there are no runs in {home}; is it the right --home (EXPTRACK_HOME)?")
    if text == "latest":
        return max(runs, key=lambda run: (run.created_ns, run.run_id)).run_id
    for fits in (_by_id(text, runs), _by_name(text, runs), _by_beginning(text, runs)):
        if len(fits) == 1:
            return fits[0].run_id
        if fits:
            raise RunNotFound(_ambiguous(text, fits))
    raise RunNotFound(_unknown(text, runs, home))


def _by_id(text: str, runs: Sequence[RunInfo]) -> list[RunInfo]:
    return [run for run in runs if run.run_id == text]


def _by_name(text: str, runs: Sequence[RunInfo]) -> list[RunInfo]:
    return [run for run in runs if text in (run.name, f"{run.project}/{run.name}")]


def _by_beginning(text: str, runs: Sequence[RunInfo]) -> list[RunInfo]:
    return [run for run in runs if text and run.run_id.startswith(text)]


def _ambiguous(text: str, fits: list[RunInfo]) -> str:
    newest = sorted(fits, key=lambda run: -run.created_ns)
    shown = ", ".join(
        f"{run.run_id} ({_short(run.project)}/{_short(run.name)})" for run in newest[:_SHOWN]
    )
    more = f" and {len(fits) - _SHOWN} more" if len(fits) > _SHOWN else ""
    return (
        f"{len(fits)} runs fit {_short(text)!r}: {shown}{more}; give one of the ids (newest first)"
    )


def _unknown(text: str, runs: Sequence[RunInfo], home: Path) -> str:
    names = {run.name: run for run in runs} | {run.run_id: run for run in runs}
    near = difflib.get_close_matches(text[:200], [name[:200] for name in names], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(_short(name) for name in near)}? " if near else ""
    return f"no run {_short(text)!r} in {home}; {hint}`exptrack runs` lists all"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
