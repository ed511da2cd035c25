"""What a killed trainer had staged: waited for where its writer is at it, written where none is."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from exptrack_agent.notices import say_once
from exptrack_agent.torch.checkpoints import folders
from exptrack_agent.torch.checkpoints.link import write_orphans


def recover(target: Path, timeout_s: float) -> list[dict[str, Any]]:
    """Bring in what trainers that are gone had staged for a folder.

    Returns:
        What was written now, as the writer tells it. (What their own writer wrote is on disk like any other.)
    """
    folders.sweep(target)
    deadline = time.monotonic() + timeout_s
    results: list[dict[str, Any]] = []
    for folder in folders.orphans_of(target):
        results += _written_from(folder, max(0.0, deadline - time.monotonic()))
    return results


def _written_from(folder: Path, timeout_s: float) -> list[dict[str, Any]]:
    try:
        process = write_orphans(folder)
        output, _ = process.communicate(timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        say_once(
            f"orphan {folder}", f"a checkpoint staged in {folder} is still to be written: {error}"
        )
        return []
    results = [json.loads(line) for line in output.splitlines()]
    if folder.exists():
        say_once(f"orphan {folder}", f"a checkpoint staged in {folder} could not be written yet")
    return [result for result in results if "problem" not in result]
