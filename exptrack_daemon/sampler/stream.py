"""One run's stream of samples, on its way to the intake: a few frames are kept until they are durable."""

from __future__ import annotations

import os
import socket
from collections import deque

from exptrack_daemon.sampler.host import Values
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.control import Hello
from exptrack_proto.limits import STREAM_ID_BYTES
from exptrack_proto.records import Close, Item, Open, Row

_KEPT = 256


class SampleStream:
    """Frames of one run's samples; pure but for the process's own identity."""

    def __init__(self, run_id: str, now_ns: int) -> None:
        self.run_id = run_id
        self.stream = os.urandom(STREAM_ID_BYTES)
        self.unsent: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self.sent: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self.boot = ""
        self._sequence = 0
        self._step = 0
        opened = Open(
            time_ns=now_ns,
            project="",
            name="system",
            role="sampler",
            pid=os.getpid(),
            host=socket.gethostname(),
        )
        self._put(opened)

    def sample(self, values: Values, now_ns: int) -> None:
        """Add one row; its step counts the samples."""
        row = Row(self._step, now_ns, dict(values))
        self.unsent.append(
            (self._sequence, encode_rows(self.run_id, self.stream, self._sequence, [row]))
        )
        self._sequence += 1
        self._step += 1

    def close(self, now_ns: int) -> None:
        """The run ended: so does this stream."""
        self._put(Close(time_ns=now_ns, status="finished", exit_code=0))

    def hello(self) -> Hello:
        """Ask how far the intake is, and say what can still be sent."""
        waiting = [*self.sent, *self.unsent]
        return Hello(
            self.stream, self.run_id, waiting[0][0] if waiting else self._sequence, self._sequence
        )

    def heard(self, boot: str, sequence: int) -> None:
        """The intake has everything before `sequence`; another intake lost what was on its way."""
        while self.sent and self.sent[0][0] < sequence:
            self.sent.popleft()
        if self.boot not in ("", boot):
            self.unsent.extendleft(reversed(self.sent))
            self.sent.clear()
        self.boot = boot

    @property
    def is_done(self) -> bool:
        """Nothing is on its way."""
        return not self.sent and not self.unsent

    def _put(self, item: Item) -> None:
        self.unsent.append(
            (self._sequence, encode_item(self.run_id, self.stream, self._sequence, item))
        )
        self._sequence += 1
