"""A sink's worker as a process, started by the supervisor: `python -m exptrack_daemon.delivery HOME SINK`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.delivery.lane import RestartWorker
from exptrack_daemon.delivery.worker import SinkWorker
from exptrack_daemon.errors import ExptrackError, SinkBroken
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import folder_name, make_private
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.locks import hold_lock
from exptrack_daemon.sinks.base import OpenSink, RunInfo, SavedState, Sink, SinkContext
from exptrack_daemon.sinks.registry import find_sink
from exptrack_daemon.telemetry import log_to_stderr

EXIT_RESTART = 75
logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> NoReturn:
    """Deliver until the supervisor ends or says stop."""
    os.umask(0o077)
    os.environ.pop("WANDB_SERVICE", None)  # a service of somebody else's must not be taken for ours
    home, name = arguments
    log_to_stderr(name)
    lifeline = Lifeline(SystemClock())
    try:
        _serve(Path(home), name, lifeline)
    except RestartWorker as error:
        logger.warning("The worker of %s begins anew: %s", name, error)
        _leave(EXIT_RESTART)
    except ExptrackError as error:
        logger.error("The worker of %s cannot work: %s", name, error)  # noqa: TRY400  # it says it all
        _leave(1)
    _leave(0)


def _serve(home: Path, name: str, lifeline: Lifeline) -> None:
    config = load_config(home)
    locks = config.home.path / "locks"
    make_private(locks)
    hold_lock(locks / f"{folder_name(name)}.lock", lifeline.should_stop)
    SinkWorker(name, _opener(name), config, OsFiles(), SystemClock()).serve(lifeline)


def _leave(code: int) -> NoReturn:
    """Leave without clean-up: a library's dead service would block it."""
    logging.shutdown()
    os._exit(code)


def _opener(name: str) -> OpenSink:
    """The sink's opener; one that cannot be imported says so for each run instead of dying."""
    try:
        return find_sink(name)
    except SinkBroken as error:
        reason = str(error)
        logger.warning("Nothing can be delivered to %s: %s", name, reason)

    def broken(run: RunInfo, context: SinkContext, saved: SavedState | None) -> Sink:
        raise SinkBroken(reason)

    return broken


if __name__ == "__main__":
    main(sys.argv[1:])
