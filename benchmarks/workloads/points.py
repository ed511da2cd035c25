"""A trainer that logs a number of points, and tells its own CPU time; or does all but log."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.workloads.answering import answer

_MOST_PENDING_POINTS = 400_000
Log = Callable[[dict[str, float], int], object]


def work(tracker: str, points: int, metrics: int = 20, run_id: str = "points") -> dict[str, Any]:
    """`points` values in rows of so many metrics; the CPU seconds until `log` was ready, and after that."""
    began = time.process_time()
    log, close = logger(tracker, run_id, _MOST_PENDING_POINTS // metrics)
    ready = time.process_time()
    for step in range(points // metrics):
        log({f"train/metric_{number}": number * 0.37 + step for number in range(metrics)}, step)
    close()
    ended = time.process_time()
    return {"begin_cpu_s": ready - began, "cpu_s": ended - ready, "pid": os.getpid()}


def logger(tracker: str, run_id: str, most_pending: int) -> tuple[Log, Callable[[], object]]:
    if tracker == "exptrack":
        return through_exptrack(run_id, most_pending)
    if tracker == "SummaryWriter":
        return through_summary_writer()
    return lambda row, step: None, lambda: None


def through_exptrack(run_id: str, most_pending: int) -> tuple[Log, Callable[[], object]]:
    import exptrack_agent as xt

    run = xt.init("bench", name=run_id, run_id=run_id, autostart=False)

    def log(row: dict[str, float], step: int) -> None:
        run.log(row, step)
        if step % 50 == 0:  # a loop without any training in it: wait for the daemon now and then
            while run.stats()["pending"] > most_pending:
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
