"""Whether what the catalogue says of a run is all that its journal holds, found out without reading it."""

from __future__ import annotations

import os
from pathlib import Path

from exptrack_daemon.home import Home
from exptrack_daemon.store.catalog_list import Line

_MARK_BYTES = 48
"""A journal's last mark, with what a block's border may add; any frame with its own mark is longer."""


def has_more(home: Home, line: Line) -> bool:
    """Whether the run's journal goes on behind its line, or is not the one that the line was made from."""
    folder, position = f"{home.runs}/{line.id}/journal", line.position
    try:  # not with `Path`: it may be asked of ten thousand runs
        size = os.stat(f"{folder}/{position.segment:08d}.seg").st_size  # noqa: PTH116
    except OSError:
        return True
    if not position.offset <= size <= position.offset + _MARK_BYTES:
        return True
    return os.path.exists(f"{folder}/{position.segment + 1:08d}.seg")  # noqa: PTH110


def is_behind(home: Home) -> bool:
    """Whether streams have begun or ended since the catalogue was last written."""
    log = home.catalog.with_name(f"{home.catalog.name}-wal")
    written = max(_changed_ns(home.catalog), _changed_ns(log))
    return _changed_ns(home.live) > written


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
