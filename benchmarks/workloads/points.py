"""A trainer that logs a number of points, in rows of 20, and tells its own CPU time; or does all but log."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.workloads.answering import answer

METRICS = 20
_MOST_PENDING_ROWS = 20_000
Log = Callable[[dict[str, float], int], object]


def work(tracker: str, points: int) -> dict[str, Any]:
    began = time.process_time()
    log, close = logger(tracker)
    ready = time.process_time()
    for step in range(points // METRICS):
        log({f"train/metric_{number}": number * 0.37 + step for number in range(METRICS)}, step)
    close()
    ended = time.process_time()
    return {"begin_cpu_s": ready - began, "cpu_s": ended - ready, "pid": os.getpid()}


def logger(tracker: str) -> tuple[Log, Callable[[], object]]:
    if tracker == "exptrack":
        return through_exptrack()
    if tracker == "SummaryWriter":
        return through_summary_writer()
    return lambda row, step: None, lambda: None


def through_exptrack() -> tuple[Log, Callable[[], object]]:
    import exptrack_agent as xt

    run = xt.init("bench", name="points", run_id="points", autostart=False)

    def log(row: dict[str, float], step: int) -> None:
        run.log(row, step)
        if step % 1_000 == 0:  # a loop without any training in it: wait for the daemon now and then
            while run.stats()["pending"] > _MOST_PENDING_ROWS:
                time.sleep(0.005)

    def close() -> None:
        run.finish(timeout_s=60)
        if run.stats()["dropped"]:
            raise RuntimeError("rows were dropped")

    return log, close


def through_summary_writer() -> tuple[Log, Callable[[], object]]:
    from torch.utils.tensorboard import SummaryWriter

    folder = tempfile.TemporaryDirectory()
    writer = SummaryWriter(folder.name)

    def log(row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    def close() -> None:
        writer.close()
        folder.cleanup()

    return log, close


if __name__ == "__main__":
    answer(work)
