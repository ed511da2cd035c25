"""What stands where, as a user would read it back."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

from exptrack_daemon.store import open_home


def exported(home: Path, run: str, folder: Path) -> list[dict[str, str]]:
    """The rows of `exptrack export RUN --format csv`, from the real command."""
    path = folder / f"{run}.csv"
    command = ["export", run, "--home", str(home), "--format", "csv", "-o", str(path)]
    done = exptrack(*command)
    assert done.returncode == 0, done.stderr
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def exptrack(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command line."""
    return subprocess.run(
        [sys.executable, "-m", "exptrack_daemon", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def steps_of(home: Path, run: str, name: str) -> list[int]:
    """The steps of one metric, in journal order."""
    return [
        point.step
        for point in open_home(home).points(open_home(home).find(run))
        if point.name == name
    ]


def tensorboard_steps(folder: Path, tag: str) -> Counter[int]:
    """How often each step of a tag stands in a folder's event files (TensorBoard's own reader)."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: Counter[int] = Counter()
    for path in sorted(folder.rglob("*tfevents*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            found.update(event.step for value in event.summary.value if value.tag == tag)
    return found
