"""Asking a run to stop, as readers may: the command line and the studio come through here."""

from __future__ import annotations

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.files import OsFiles
from exptrack_daemon.locks import is_locked
from exptrack_daemon.stopping import ask_to_stop
from exptrack_daemon.store.reader import HomeReader, RunView


class NothingToStop(ExptrackError):
    """The run does not run."""


class StopNotPassedOn(ExptrackError):
    """There is nobody, or no room, to pass the request on."""


def stop_run(reader: HomeReader, view: RunView, reason: str) -> None:
    """Ask a running run to stop; its trainers hear of it within about a second.

    Raises:
        NothingToStop: it is not running.
        StopNotPassedOn: no daemon runs, or the request can't be written.
    """
    if view.status.name != "running":
        state = view.status.name
        raise NothingToStop(f"run {view.id} is {state}, so there is nothing to stop")
    if not is_locked(reader.home.lock):
        raise StopNotPassedOn("no daemon is running that could pass it on: exptrack daemon start")
    try:
        ask_to_stop(OsFiles(), reader.home, view.id, reason)
    except OSError as error:
        raise StopNotPassedOn(f"the request cannot be written: {error.strerror}") from error
