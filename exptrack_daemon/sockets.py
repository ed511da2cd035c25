"""ZeroMQ sockets as this daemon makes them: private files, bounded, nothing beyond this user."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import zmq

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.home import make_private
from exptrack_proto.limits import MIB

_IPC_FILTER_UID = 59  # ZMQ_IPC_FILTER_UID; deprecated in libzmq, and not named by every pyzmq
_PATH_LIMIT = 107


def bind_private(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, path: Path
) -> zmq.Socket[bytes]:
    """A bound ipc socket that only this user can reach. The caller holds the lock that makes it the one.

    Raises:
        HomeUnusable: the folder is not private, or no socket can stand there.
    """
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise HomeUnusable(
            f"the socket path {path} is longer than {_PATH_LIMIT} bytes; set XDG_RUNTIME_DIR shorter"
        )
    make_private(path.parent)
    socket: zmq.Socket[bytes] = context.socket(kind)
    bound(socket)
    with contextlib.suppress(zmq.ZMQError):
        socket.setsockopt(_IPC_FILTER_UID, os.getuid())
    umask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        socket.bind(f"ipc://{path}")
    except (OSError, zmq.ZMQError) as error:
        socket.close(0)
        raise HomeUnusable(f"no socket can be made at {path}: {error.strerror}") from error
    finally:
        os.umask(umask)
    return socket


def bound(socket: zmq.Socket[bytes]) -> None:
    """Limits for every socket: message size, queue length, handshake time, no lingering."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MIB)
    socket.setsockopt(zmq.RCVHWM, 4 if socket.type == zmq.PULL else 16)  # 64 trainers: 256 frames
    socket.setsockopt(zmq.SNDHWM, 1_000)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
