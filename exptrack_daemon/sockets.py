"""ZeroMQ sockets as this daemon makes them: private files, bounded, nothing beyond this user."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Collection
from pathlib import Path

import zmq
from zmq.utils import z85

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.home import make_private
from exptrack_proto.limits import MIB

_IPC_FILTER_UID = 59  # ZMQ_IPC_FILTER_UID; deprecated in libzmq, and not named by every pyzmq
_PATH_LIMIT = 107
_MOST_DESCRIPTORS = 65_536


def have_descriptors() -> None:
    """Let this process hold as many connections as the system allows, not 1,024 as most shells do.

    A connection that finds no descriptor left ends the process: libzmq aborts where it accepts on ipc.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


def listen_with_keys(socket: zmq.Socket[bytes], endpoint: str, public: str, secret: str) -> None:
    """Let a bound socket listen on TCP as well, to those only whose keys a `ZapDoor` lets pass.

    Raises:
        HomeUnusable: nothing can listen there.
    """
    socket.setsockopt(
        zmq.CURVE_SERVER, 1
    )  # of what is bound from now on; the ipc side stays as it is
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret.encode("ascii"))
    socket.setsockopt(zmq.ZAP_DOMAIN, b"exptrack")
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise HomeUnusable(f"nothing can listen at {endpoint}: {error.strerror}") from error


class ZapDoor:
    """Answers ZeroMQ's question whether a client's key may come in (RFC 27); make it before sockets bind."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], allowed: Callable[[], Collection[str]]
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")
        self.turned_away = 0
        self._allowed = allowed

    def answer(self) -> None:
        """Answer all that is asked now."""
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            cut = parts.index(b"") + 1
            self.socket.send_multipart([*parts[:cut], *self._verdict(parts[cut:])])

    def _verdict(self, request: list[bytes]) -> list[bytes]:
        is_curve = len(request) == 7 and request[0] == b"1.0" and request[5] == b"CURVE"
        known = {z85.decode(key) for key in self._allowed()} if is_curve else set()
        if is_curve and request[6] in known:
            return [b"1.0", request[1], b"200", b"OK", b"", b""]
        self.turned_away += 1
        return [b"1.0", request[1] if len(request) > 1 else b"", b"400", b"unknown key", b"", b""]


def bound(socket: zmq.Socket[bytes]) -> None:
    """Limits for every socket: message size, queue length, handshake time, no lingering."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MIB)
    socket.setsockopt(zmq.RCVHWM, 4 if socket.type == zmq.PULL else 16)  # 64 trainers: 256 frames
    socket.setsockopt(zmq.SNDHWM, 1_000)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
