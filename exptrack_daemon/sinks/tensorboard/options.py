"""What a run asks of its TensorBoard files (`sink_options["tensorboard"]`): names, and a place of their own.

    names       shown names by metric (see `shown_names`)
    directory   an absolute path instead of the daemon's `--logdir`
    folder      name of the run's folder; with `directory` right below it, else in the project's

They come from the run's first `open`, so they are the same in every attempt and every replay.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.journal.entries import RunInfo

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run wants its folder."""

    directory: Path | None = None
    folder: str | None = None

    @property
    def is_usual(self) -> bool:
        return self.directory is None and self.folder is None


def place_of(run: RunInfo) -> Place:
    """What is no place is passed over, with a warning: the usual one is better than none."""
    asked = _options(run)
    directory, folder = asked.get("directory"), asked.get("folder")
    if directory is not None and not _is_place(directory):
        _logger.warning(
            "Run %s: %r is no absolute path for TensorBoard's files.", run.run_id, directory
        )
        return Place()
    return Place(
        Path(directory) if directory is not None else None,
        folder if isinstance(folder, str) and folder else None,
    )


def names_of(run: RunInfo) -> object:
    return _options(run).get("names")


def _options(run: RunInfo) -> Mapping[str, Any]:
    asked = run.sink_options.get("tensorboard")
    return asked if isinstance(asked, Mapping) else {}


def _is_place(directory: object) -> bool:
    return isinstance(directory, str) and "\0" not in directory and Path(directory).is_absolute()
