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

FILE = "studio.token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token_of(home: Path) -> str:
    """The home's token; drawn when there is none, or when others could have read it.

    Raises:
        HomeUnusable: the home cannot be written.
    """
    make_private(home)
    path = home / FILE
    known = _read_private(path)
    if known is not None:
        return known
    token = secrets.token_urlsafe(32)
    try:
        replace_durably(OsFiles(), path, token.encode())
    except OSError as error:
        raise HomeUnusable(f"{path} cannot be written: {error.strerror}") from error
    return token


def _read_private(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        is_private = found.st_uid == os.getuid() and not found.st_mode & 0o077
        text = os.read(descriptor, 100).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    return text if is_private and stat.S_ISREG(found.st_mode) and _TOKEN.fullmatch(text) else None
