"""One run's stream of samples, on its way to the intake.

A frame stays in `sent` until it is durable, and is sent again when that takes too long (a disk that failed
makes the intake leave frames). Only so many are under way, and beyond a number of waiting ones the oldest row
that was never sent is dropped. So what `hello` says can no longer be sent was indeed never sent, and the
intake may write it into the run's loss ledger; nothing under way is ever taken for lost.
"""

from __future__ import annotations

import os
import socket
from collections import deque

from exptrack_daemon.sampler.host import Values
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.control import Hello
from exptrack_proto.limits import STREAM_ID_BYTES
from exptrack_proto.records import Close, Item, Open, Row

MOST_WAITING = 256
MOST_UNDER_WAY = 64
SEND_AGAIN_AFTER_S = 2.0


class SampleStream:
    """Frames of one run's samples; pure but for the process's own identity."""

    def __init__(self, run_id: str, now_ns: int, first_step: int = 0) -> None:
        self.run_id = run_id
        self.stream = os.urandom(STREAM_ID_BYTES)
        self.unsent: deque[tuple[int, bytes]] = deque()
        self.sent: deque[tuple[int, bytes]] = deque()
        self.boot = ""
        self._ever_sent = 0
        self._moved_at = 0.0
        self._sequence = 0
        self._step = first_step
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
        self._wait(encode_rows(self.run_id, self.stream, self._sequence, [row]))
        self._step += 1

    def close(self, now_ns: int) -> None:
        """The run ended: so does this stream."""
        self._put(Close(time_ns=now_ns, status="finished", exit_code=0))

    def hello(self) -> Hello:
        """Ask how far the intake is, and say what can still be sent."""
        waiting = self.sent or self.unsent
        return Hello(
            self.stream, self.run_id, waiting[0][0] if waiting else self._sequence, self._sequence
        )

    def next_frame(self) -> bytes | None:
        """What to send now."""
        if not self.unsent or len(self.sent) >= MOST_UNDER_WAY:
            return None
        return self.unsent[0][1]

    def went(self, now: float) -> None:
        """What `next_frame` gave is under way."""
        if not self.sent:
            self._moved_at = now
        self.sent.append(self.unsent.popleft())
        self._ever_sent = max(self._ever_sent, self.sent[-1][0] + 1)

    def heard(self, boot: str, sequence: int, now: float) -> None:
        """The intake has everything before `sequence`; another intake lost what was on its way."""
        while self.sent and self.sent[0][0] < sequence:
            self.sent.popleft()
            self._moved_at = now
        is_another = self.boot not in ("", boot)
        self.boot = boot
        if self.sent and (is_another or now - self._moved_at > SEND_AGAIN_AFTER_S):
            self.unsent.extendleft(reversed(self.sent))
            self.sent.clear()

    @property
    def is_done(self) -> bool:
        """Nothing is on its way."""
        return not self.sent and not self.unsent

    def _put(self, item: Item) -> None:
        self._wait(encode_item(self.run_id, self.stream, self._sequence, item))

    def _wait(self, frame: bytes) -> None:
        if len(self.unsent) >= MOST_WAITING:
            del self.unsent[self._first_never_sent()]
        self.unsent.append((self._sequence, frame))
        self._sequence += 1

    def _first_never_sent(self) -> int:
        """Where the oldest frame waits that is neither the `open` nor possibly on its way."""
        least = max(1, self._ever_sent)
        return next(index for index, (sequence, _) in enumerate(self.unsent) if sequence >= least)
