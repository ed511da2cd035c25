"""Forks store workers on request, with what they import already there: each line on stdin is a home.

A worker brings what stands in the journal of run `r` into small parts, in batches of a random size, until it
is killed. Its pid goes to stdout before it begins.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.files import OsFiles
from tests.support.homes import HomeBuilder
from tests.support.stores import MIDDLING, deliver, store_lane


class HastyClock(SystemClock):
    """A hundred times as fast, so that no batch waits for more rows."""

    def monotonic_s(self) -> float:
        return 100 * super().monotonic_s()


def work(home: Path) -> None:
    """Deliver, until killed, or until the nursery is gone."""
    nursery = os.getppid()
    clock = HastyClock()
    batch_bytes = random.choice((150, 600, 4_000))
    lane = store_lane(home, "r", clock, sizes=MIDDLING, files=OsFiles(), batch_bytes=batch_bytes)
    while os.getppid() == nursery:
        lane.has_news = True
        lane.step(clock.monotonic_s())
        time.sleep(0.0005)


def warm_up() -> None:
    """Write a part: pyarrow imports much at the first one."""
    with tempfile.TemporaryDirectory() as folder:
        HomeBuilder(Path(folder)).finished_run("r")
        deliver(Path(folder), "r")


def main() -> None:
    """Fork a worker for each line."""
    warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                work(Path(line.strip()))
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
