"""Whether a trainer is alive: it holds a POSIX record lock on its stream's `owner.lock` for life.

The lock is only asked about (F_GETLK), never taken, and nothing is created: looking can't disturb an owner
that is just starting. One trap of POSIX locks stays: a process that closes *any* descriptor of a file loses
its own locks on it. So a stream of this very process (a notebook that trains and reads) is never opened.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Stream
from exptrack_proto.ring import OWNER_LOCK

_FLOCK = struct.Struct("hhqqi0q")  # Linux, 64 bit: type, whence, start, length, pid


class Liveness:
    """Asks about the owners of streams below one home."""

    def __init__(self, home: Home) -> None:
        self._roots = (*home.ring_roots, home.spool)

    def is_alive(self, stream: Stream) -> bool:
        if stream.pid == os.getpid() and stream.host == socket.gethostname():
            return True
        return is_held(self._roots, stream.stream_id)


def is_held(roots: Iterable[Path], stream_id: str) -> bool:
    """Whether another process holds the owner lock of this stream below any of the roots."""
    return any(_is_locked(root / stream_id / OWNER_LOCK) for root in roots)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # no such stream here, or not ours to look at
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
    except OSError:
        return False  # a file system without locks: nobody can hold one
    finally:
        os.close(descriptor)
    return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK
