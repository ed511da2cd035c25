"""What stands in a run's offline folders: where to go on, and how much there is.

wandb never goes on in a folder: each session makes a new one, `offline-run-DATE_TIME-ID`, a fragment of the
run. `wandb sync` takes every line of every fragment, so no line may stand in two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.sinks.wandb.names import OWN_STEP, STEP, TIMESTAMP
from exptrack_daemon.sinks.wandb.offline_log import LogFile, line_of, read_tail

_NOT_VALUES = frozenset({"_step", "_runtime", TIMESTAMP, OWN_STEP})


@dataclass(frozen=True, slots=True)
class History:
    """What the `.wandb` files below a folder hold together."""

    fragments: int = 0
    lines: int = 0
    """Rows and media items, each line number once."""
    points: int = 0
    """Values in them, without the steps and times that came with them."""
    doubled: int = 0
    """Lines that stand in two places; `wandb sync` would send them twice."""
    missing: int = 0
    """Line numbers below the highest that stand nowhere."""


def fragments_of(folder: Path) -> list[Path]:
    """The `.wandb` files of offline sessions below a run's folder, oldest first."""
    return sorted(folder.glob("**/offline-run-*/*.wandb"), key=lambda path: path.parent.name)


def lines_held(folder: Path) -> int:
    """The number of the first line that none of a run's fragments holds: where the next one begins."""
    ends = (read_tail(path).line for path in fragments_of(folder))
    return max((end + 1 for end in ends if end is not None), default=0)


def count_history(folder: Path) -> History:
    """Read all offline fragments below one run's folder."""
    seen: set[int] = set()
    lines = points = 0
    fragments = fragments_of(folder)
    steps = {STEP}
    for path in fragments:
        for record in LogFile(path).read_on():
            if record.HasField("metric"):
                steps.add(record.metric.step_metric)
            number = line_of(record)
            if number is None:
                continue
            lines += 1
            if number not in seen:
                seen.add(number)
                points += _points(record.history, steps)
    missing = max(seen, default=-1) + 1 - len(seen)
    return History(len(fragments), len(seen), points, lines - len(seen), missing)


def _points(history: Any, steps: set[str]) -> int:
    """A nested value (a histogram, a picture) has several items and is one point."""
    names = {item.nested_key[0] if item.nested_key else item.key for item in history.item}
    return len(names - _NOT_VALUES - steps)
