"""Every process logs one line an event to stderr."""

from __future__ import annotations

import subprocess
import sys


def test_a_line_names_time_level_and_process():
    code = (
        "import logging; from exptrack_daemon.telemetry import log_to_stderr\n"
        "log_to_stderr('intake'); logging.getLogger('x').warning('odd %d', 5)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == ""
    assert done.stderr.rstrip().endswith("WARNING intake: odd 5")
    assert done.stderr.count("\n") == 1
