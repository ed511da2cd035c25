"""A trainer with a bug, or a process as busy that sends nothing; until it is killed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import exptrack_agent as xt
from exptrack_agent.wire import Wire
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.control import Ack, Hello, decode_control, encode_control
from exptrack_proto.limits import MAX_FRAME_BYTES
from exptrack_proto.records import Open, Row

_TINY_ROWS, _WIDE_ROWS, _METRICS = 60_000, 2_000, 20
_NAMES_A_ROW = 1_000
_ROWS_PER_S = 100_000
_TICK_S = 0.01
_FRAMES_UNDER_WAY = 4
_ASK_AFTER_S = 0.25


class Frames:
    """Frames of nearly 1 MiB, as fast as the wire takes them."""

    def __init__(self, folder: str, metrics: int, rows: int) -> None:
        endpoints = json.loads((Path(folder) / "daemon.json").read_bytes())
        self._run_id, self._stream = f"flood-{os.urandom(4).hex()}", os.urandom(16)
        values = {f"train/metric_{number}": number * 0.37 for number in range(metrics)}
        body = [Row(step, step, values if metrics > 1 else {"a": 1}) for step in range(rows)]
        self._rows = rows
        self._frame = encode_rows(self._run_id, self._stream, 1, body)
        assert MAX_FRAME_BYTES // 2 < len(self._frame) <= MAX_FRAME_BYTES
        self._wire = Wire(endpoints["frames"], endpoints["control"])
        self._acknowledged = 0
        opening = Open(time_ns=time.time_ns(), project="bench", name="flood", pid=os.getpid())
        self._push(encode_item(self._run_id, self._stream, 0, opening))

    def send_as_an_agent(self) -> None:
        """No more under way than an agent may have."""
        first = 1
        while True:
            self._hear(first)
            if first - self._acknowledged < _FRAMES_UNDER_WAY * self._rows:
                first = self._send(first)
            else:
                self._wire.wait(0.01)

    def send_deaf(self) -> None:
        """Whatever is acknowledged."""
        first = 1
        while True:
            first = self._send(first)

    def _send(self, first: int) -> int:
        self._push(self._frame[:8] + first.to_bytes(8, "little") + self._frame[16:])
        return first + self._rows

    def _push(self, frame: bytes) -> None:
        while not self._wire.send_frame(frame):
            time.sleep(0.001)

    def _hear(self, first: int) -> None:
        if time.monotonic() - self._asked_at > _ASK_AFTER_S:
            self._asked_at = time.monotonic()
            hello = Hello(self._stream, self._run_id, self._acknowledged, first)
            self._wire.ask(encode_control(hello))
        while (data := self._wire.hear()) is not None:
            message = decode_control(data)
            if isinstance(message, Ack):
                self._acknowledged = max(self._acknowledged, message.next)

    _asked_at = float("-inf")


def names() -> None:
    """A million names in a thousand rows, and again from the first."""
    run = xt.init("bench", autostart=False)
    while True:
        for part in range(1_000):
            run.log({f"name/{part}/{number}": 1.0 for number in range(_NAMES_A_ROW)})


def rows() -> None:
    """100,000 rows a second; late ones at once."""
    run = xt.init("bench", autostart=False)
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * _ROWS_PER_S)
        for step in range(sent, due):
            run.log({"x": 1.0}, step)
        sent = due
        time.sleep(0.001)


def busy(share: float) -> None:
    """So much of one core, and nothing sent."""
    while True:
        until = time.perf_counter() + share * _TICK_S
        while time.perf_counter() < until:
            pass
        time.sleep(max(0.0, (1 - share) * _TICK_S))


def work(kind: str, folder: str, share: float = 0.0) -> None:
    if kind == "tiny rows":
        Frames(folder, 1, _TINY_ROWS).send_as_an_agent()
    elif kind == "wide rows":
        Frames(folder, _METRICS, _WIDE_ROWS).send_as_an_agent()
    elif kind == "deaf":
        Frames(folder, _METRICS, _WIDE_ROWS).send_deaf()
    elif kind == "names":
        names()
    elif kind == "rows":
        rows()
    else:
        busy(share)


if __name__ == "__main__":
    work(**json.loads(sys.argv[1]))
