"""A trainer that is going to be killed: after each log call it counts, in a file that survives it."""

from __future__ import annotations

import csv
import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer

METRICS = 5
Log = Callable[[dict[str, float], int], object]


def work(tracker: str, counter: str, output: str) -> dict[str, Any]:
    log = logger(tracker, Path(output))
    with Path(counter).open("r+b") as file:
        count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    clock, step = time.perf_counter, 0
    while True:
        log({f"metric_{number}": step + number / 10 for number in range(METRICS)}, step)
        step += 1
        count[0] = step  # one aligned store: a kill leaves the old number or the new one
        until = clock() + 0.0001
        while clock() < until:
            pass


def logger(tracker: str, output: Path) -> Log:
    if tracker == "exptrack":
        import exptrack_agent as xt

        run = xt.init("bench", name="victim", run_id="victim", autostart=False)
        return lambda row, step: run.log(row, step)  # noqa: PLW0108  # looked up each time, as by users
    if tracker == "SummaryWriter":
        return summary_writer(output)
    file = (output / "rows.csv").open("w", newline="")
    writer = csv.writer(file)
    return lambda row, step: writer.writerow([step, *row.values()])


def summary_writer(output: Path) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(output))

    def log(row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    return log


if __name__ == "__main__":
    answer(work)
