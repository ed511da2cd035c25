"""Where a run that is gone on with had got to, as the command line knows it: the agent reads no journals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from exptrack_agent.notices import say_once

_TIMEOUT_S = 30.0


def next_step(home: Path, run_id: str) -> int:
    """One more than the largest step of the run's rows so far; 0 when that cannot be found out."""
    command = [sys.executable, "-m", "exptrack_daemon", "show", run_id, "--json"]
    try:
        asked = subprocess.run(
            [*command, "--home", str(home)],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        last = json.loads(asked.stdout)["last_step"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        say_once(
            "wandb resumed step", f"run {run_id}: its last step is not known; steps begin at 0"
        )
        return 0
    return last + 1 if isinstance(last, int) else 0
