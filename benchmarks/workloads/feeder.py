"""Trainers reduced to their frames: made beforehand, and pushed as fast as they are taken."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer
from exptrack_agent.wire import Wire
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.control import Ack, Hello, decode_control, encode_control
from exptrack_proto.records import Close, Open, Row

_WINDOW_FRAMES = 32


class Feed:
    """One agent: its own connection, run and stream, and the frames that it still has to send."""

    def __init__(
        self, run_id: str, frames: int, rows: int, metrics: int, endpoints: dict[str, str]
    ) -> None:
        self.run_id, self.stream = run_id, os.urandom(16)
        self.items = 1 + frames * rows + 1
        self.frames = self._make(frames, rows, metrics)
        self.size = sum(map(len, self.frames))
        self.under_way: deque[int] = deque()
        self.acknowledged = 0
        self._asked_at = 0.0
        self._wire = Wire(endpoints["frames"], endpoints["control"])

    def _make(self, frames: int, rows: int, metrics: int) -> deque[bytes]:
        opening = Open(time_ns=time.time_ns(), project="bench", name=self.run_id, pid=os.getpid())
        made = deque([encode_item(self.run_id, self.stream, 0, opening)])
        names = [f"train/metric_{number}" for number in range(metrics)]
        for number in range(frames):
            first = number * rows
            body = [
                Row(step, time.time_ns(), dict.fromkeys(names, step * 0.37))
                for step in range(first, first + rows)
            ]
            made.append(encode_rows(self.run_id, self.stream, first + 1, body))
        closing = Close(time_ns=time.time_ns(), status="finished", exit_code=0)
        made.append(encode_item(self.run_id, self.stream, self.items - 1, closing))
        self.ends = deque([1, *range(1 + rows, self.items, rows), self.items])
        return made

    def step(self, now: float) -> bool:
        """Send what the window has room for, hear what is durable; True when all of it is."""
        if now - self._asked_at > 0.25:
            self._asked_at = now
            self._wire.ask(
                encode_control(Hello(self.stream, self.run_id, self.acknowledged, self.items))
            )
        while (data := self._wire.hear()) is not None:
            message = decode_control(data)
            if isinstance(message, Ack):
                self.acknowledged = max(self.acknowledged, message.next)
        while self.under_way and self.under_way[0] <= self.acknowledged:
            self.under_way.popleft()
        while self.frames and len(self.under_way) < _WINDOW_FRAMES:
            if not self._wire.send_frame(self.frames[0]):
                break
            self.frames.popleft()
            self.under_way.append(self.ends.popleft())
        return self.acknowledged >= self.items

    def close(self) -> None:
        self._wire.close()


def work(folder: str, agents: int, frames: int, rows: int, metrics: int) -> dict[str, Any]:
    """Push all frames of so many agents; returns when the last one is durable."""
    endpoints = json.loads((Path(folder) / "daemon.json").read_bytes())
    tag = os.urandom(4).hex()
    feeds = [Feed(f"{tag}-{n}", frames, rows, metrics, endpoints) for n in range(agents)]
    size = sum(feed.size for feed in feeds)
    time.sleep(0.2)
    began = time.perf_counter()
    waiting = feeds
    while waiting:
        now = time.monotonic()
        waiting = [feed for feed in waiting if not feed.step(now)]
        time.sleep(0.001)
    took = time.perf_counter() - began
    for feed in feeds:
        feed.close()
    return {
        "wall_s": took,
        "points": agents * frames * rows * metrics,
        "bytes": size,
        "runs": [feed.run_id for feed in feeds],
    }


if __name__ == "__main__":
    answer(work)
