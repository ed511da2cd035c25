"""The studio's token: 256 random bits in HOME/studio.token, readable by this user only.

It stays the same from one start to the next, so that an open page, a bookmark's cookie and a script go on
working. Removing the file makes the next start draw a new one.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.home import make_private
from exptrack_daemon.locks import hold_lock

FILE = "studio.token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token_of(home: Path) -> str:
    """The home's token; drawn when there is none, or when others could have read it.

    In a home that can't be written the token is not kept: it ends with the server.

    Raises:
        HomeUnusable: there is no home, and none can be made.
    """
    known = _read_private(home / FILE)
    if known is not None:
        return known
    try:
        make_private(home)
        return _drawn_once(home)
    except (OSError, HomeUnusable):
        if not home.is_dir():
            raise
        return secrets.token_urlsafe(32)


def _drawn_once(home: Path) -> str:
    """Two servers that start in the same moment have the same token."""
    path = home / FILE
    lock = hold_lock(path.with_suffix(".lock"))
    try:
        known = _read_private(path)
        if known is None:
            known = secrets.token_urlsafe(32)
            replace_durably(OsFiles(), path, known.encode())
        return known
    finally:
        os.close(lock)


def _read_private(path: Path) -> str | None:
    """The token that stands there, if nobody else can have read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o077:
            return None
        text = os.read(descriptor, 100).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    return text if _TOKEN.fullmatch(text) else None
