"""The sampler as a process, started by the supervisor: `python -m exptrack_daemon.sampler HOME`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.files import OsFiles
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.sampler.sampler import Sampler
from exptrack_daemon.telemetry import log_to_stderr

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Sample until the supervisor ends or says stop."""
    os.umask(0o077)
    log_to_stderr("sampler")
    clock = SystemClock()
    lifeline = Lifeline(clock)
    try:
        config = load_config(Path(arguments[0]))
    except ConfigInvalid as error:
        logger.error("The sampler cannot work: %s", error)  # noqa: TRY400  # the message is for a person
        return 1
    Sampler(config, OsFiles(), clock).serve(lifeline)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
