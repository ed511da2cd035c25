"""A reader that looks all the time for the newest step of a run, where TensorBoard and `export` read."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer
from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.sinks.tensorboard.readback import event_files, read_events
from exptrack_daemon.store import open_home

_EVERY_S, _AFTER_S = 0.05, 2.0


def work(folder: str, run_id: str) -> dict[str, Any]:
    """Look until a line comes, and a moment longer; when each step was first seen (`time.monotonic`)."""
    home, seen = Path(folder), {"TensorBoard": list[float](), "export": list[float]()}
    print("ready", flush=True)
    end = float("inf")
    while time.monotonic() < end:
        if select.select([sys.stdin], [], [], _EVERY_S)[0] and end == float("inf"):
            end = time.monotonic() + _AFTER_S
            sys.stdin.readline()
        note(seen["TensorBoard"], steps_in_file(home / "tensorboard" / "bench" / run_id))
        note(seen["export"], steps_exported(home, run_id))
    return seen


def note(seen: list[float], steps: int) -> None:
    seen.extend([time.monotonic()] * (steps - len(seen)))


def steps_in_file(folder: Path) -> int:
    """The number of steps 0, 1, … in the run's event files."""
    events = (event for path in event_files(folder) for event in read_events(path))
    found = [event.step for event in events if any(v.tag == "probe" for v in event.summary.value)]
    return max(found, default=-1) + 1


def steps_exported(home: Path, run_id: str) -> int:
    try:
        points = open_home(home).points(run_id)
        return max((point.step for point in points if point.name == "probe"), default=-1) + 1
    except (ExptrackError, OSError):
        return 0  # the run is not there yet


if __name__ == "__main__":
    answer(work)
