"""How the daemon's processes log: one line an event, to stderr, which ends in daemon.log."""

from __future__ import annotations

import logging


def log_to_stderr(process: str, level: int = logging.INFO) -> None:
    """Set up logging for one process of the daemon."""
    form = f"%(asctime)s %(levelname)-7s {process}: %(message)s"
    logging.basicConfig(level=level, format=form, datefmt="%Y-%m-%d %H:%M:%S")
