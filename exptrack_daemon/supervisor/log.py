"""Keeping daemon.log small: every process of the daemon appends to it through a descriptor it inherited."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

logger = logging.getLogger(__name__)

MOST_LOG_BYTES = 16 * 1024 * 1024


def rotate_log(log: Path, descriptor: int, most_bytes: int = MOST_LOG_BYTES) -> bool:
    """Put a large log aside, if it is what `descriptor` writes to.

    It is copied and then emptied, since all processes go on writing to the same open file (which appends).
    A line that is written between the two acts is lost.
    """
    try:
        if not is_our_log(log, descriptor) or os.fstat(descriptor).st_size <= most_bytes:
            return False
        old = log.with_suffix(".log.1")
        old.unlink(missing_ok=True)
        shutil.copyfile(log, old)
        old.chmod(0o600)
        os.truncate(log, 0)
    except OSError as error:
        logger.warning("The log cannot be put aside: %s.", error)
        return False
    return True


def is_our_log(log: Path, descriptor: int) -> bool:
    """Whether the descriptor writes to this file, and not to a terminal or a service manager."""
    try:
        return os.path.samestat(os.fstat(descriptor), log.stat())
    except OSError:
        return False
