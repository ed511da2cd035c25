"""The two sockets to a daemon: PUSH for frames, DEALER for what is durable. Imported when first needed."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import zmq

from exptrack_proto.limits import MIB

if TYPE_CHECKING:
    from exptrack_agent.settings import Remote

_FRAMES_QUEUED = 64
_SOON_MS = 5
"""So long an acknowledgement is waited for by receiving it; a bell that rings meanwhile is heard later."""


class Wire:
    """A connection that never waits: what cannot go now is the caller's to send again."""

    def __init__(
        self, frames: str, control: str, bell: int = -1, remote: Remote | None = None
    ) -> None:
        """Connect; `bell` is a descriptor that ends `wait` when it can be read.

        With `remote` everything is encrypted, and each side proves who it is (CURVE).

        Raises:
            zmq.ZMQError: an endpoint that cannot be one; nothing stays open.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._remote = remote
        try:
            self._push = self._connect(zmq.PUSH, frames)
            self._dealer = self._connect(zmq.DEALER, control)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._dealer, zmq.POLLIN)
        self._bell = bell
        self._is_answer_due = False
        self._word: bytes | None = None
        if bell >= 0:
            self._poller.register(bell, zmq.POLLIN)

    def _connect(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a daemon that is not there
        socket.setsockopt(zmq.SNDHWM, _FRAMES_QUEUED)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.setsockopt(zmq.MAXMSGSIZE, MIB)
        socket.setsockopt(zmq.RCVTIMEO, _SOON_MS)
        if self._remote is not None:
            _lock(socket, self._remote)
        socket.connect(endpoint)
        return socket

    def send_frame(self, frame: bytes) -> bool:
        """Queue a frame; False when the daemon does not take it now."""
        self._is_answer_due = _send(self._push, frame)
        return self._is_answer_due

    def ask(self, message: bytes) -> bool:
        """Queue a control message; False when the daemon does not take it now."""
        return _send(self._dealer, message)

    def hear(self) -> bytes | None:
        """The next control message, if one has come.

        Receiving lets go of the interpreter's lock, and a busy trainer gives it back only after 5 ms; so it
        is not tried in vain.
        """
        if self._word is not None:
            word, self._word = self._word, None
            return word
        if not int(self._dealer.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return None
        return _receive(self._dealer, zmq.NOBLOCK)

    def wait(self, timeout_s: float) -> bool:
        """Until a control message comes or the bell is rung, at most so long; whether it was rung."""
        if self._is_answer_due and timeout_s * 1000 > _SOON_MS:
            self._is_answer_due = False
            # lets go of the interpreter's lock once, where polling and then receiving do twice
            self._word = _receive(self._dealer)
            if self._word is not None:
                return False
        ready = self._poller.poll(ceil(timeout_s * 1000))
        return any(source == self._bell for source, _ in ready)

    def close(self) -> None:
        """Drop the connection; what was queued is lost, and sent again over the next."""
        self._push.close(0)
        self._dealer.close(0)
        self._context.term()


def _lock(socket: zmq.Socket[bytes], remote: Remote) -> None:
    socket.setsockopt(zmq.CURVE_SERVERKEY, remote.server.encode("ascii"))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, remote.public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SECRETKEY, remote.secret.encode("ascii"))
    # a cut cable is noticed within seconds, and the rows in its pipes are sent again
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5_000)


def _receive(socket: zmq.Socket[bytes], flags: int = 0) -> bytes | None:
    try:
        return socket.recv(flags)
    except zmq.Again:
        return None


def _send(socket: zmq.Socket[bytes], message: bytes) -> bool:
    try:
        socket.send(message, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True
