"""Whether what the catalogue says of a run is all that its journal holds, found out without reading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from exptrack_daemon.home import Home
from exptrack_daemon.store.catalog_list import Line

_MARK_BYTES = 48
"""A journal's last mark, with what a block's border may add; any frame with its own mark is longer."""


def current_lines(home: Home, lines: Iterable[Line], checked: bool) -> set[str]:
    """The runs whose line can be taken as it is; with `checked`, only where the journal holds no more."""
    return {line.id for line in lines if line.is_closed and not (checked and has_more(home, line))}


def has_more(home: Home, line: Line) -> bool:
    """Whether the run's journal goes on behind its line, or is not the one that the line was made from."""
    folder, position = home.journal(line.id), line.position
    try:
        size = (folder / f"{position.segment:08d}.seg").stat().st_size
    except OSError:
        return True
    if not position.offset <= size <= position.offset + _MARK_BYTES:
        return True
    return (folder / f"{position.segment + 1:08d}.seg").exists()


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
