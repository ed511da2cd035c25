"""The sampler as a process, started by the supervisor: `python -m exptrack_daemon.sampler HOME`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.files import OsFiles
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.sampler.sampler import Sampler
from exptrack_daemon.telemetry import log_to_stderr


def main(arguments: list[str]) -> int:
    """Sample until the supervisor ends or says stop."""
    os.umask(0o077)
    log_to_stderr("sampler")
    clock = SystemClock()
    lifeline = Lifeline(clock)
    Sampler(load_config(Path(arguments[0])), OsFiles(), clock).serve(lifeline)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
