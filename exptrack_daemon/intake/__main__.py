"""The intake as a process, started by the supervisor: `python -m exptrack_daemon.intake HOME BOOT`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.files import OsFiles
from exptrack_daemon.intake.server import IntakeServer
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.locks import hold_lock
from exptrack_daemon.sockets import have_descriptors
from exptrack_daemon.telemetry import log_to_stderr

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Serve until the supervisor ends or says stop."""
    os.umask(0o077)
    log_to_stderr("intake")
    have_descriptors()
    home, boot = arguments
    clock = SystemClock()
    lifeline = Lifeline(clock)
    try:
        config = load_config(Path(home))
        hold_lock(config.home.intake_lock, lifeline.should_stop)
        IntakeServer(config, OsFiles(), clock, boot).serve(lifeline)
    except ExptrackError as error:
        logger.error("The intake cannot work: %s", error)  # noqa: TRY400  # the message is for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
