"""A fresh process that times the beginning and the end of a run."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer

ROWS, METRICS = 10_000, 20


def work(part: str) -> dict[str, Any]:
    if part == "nothing":
        return {"last_line_at": time.perf_counter()}
    import exptrack_agent as xt

    began = time.perf_counter()
    run = xt.init("bench", autostart=part == "autostart")
    begun = time.perf_counter()
    found: dict[str, Any] = {"init_ms": (begun - began) * 1_000}
    if part in ("init", "autostart"):
        found |= first_ack(run, began)
    if part == "init":
        found["again_ms"] = second_init(xt)
    if part in ("finish", "no finish"):
        found |= log_much(run)
    if part == "finish":
        finishing = time.perf_counter()
        run.finish()
        found["finish_ms"] = (time.perf_counter() - finishing) * 1_000
        found["floor_ms"] = sync_floor_ms(run)
    return {**found, "last_line_at": time.perf_counter()}


def first_ack(run: Any, began: float) -> dict[str, float]:
    while run.stats()["acked"] == 0 and time.perf_counter() - began < 30:
        time.sleep(0.001)
    return {"ack_ms": (time.perf_counter() - began) * 1_000}


def second_init(xt: Any) -> float:
    began = time.perf_counter()
    xt.init("bench", autostart=False)
    return (time.perf_counter() - began) * 1_000


def log_much(run: Any) -> dict[str, float]:
    row = {f"train/metric_{number}": number * 0.37 for number in range(METRICS)}
    began = time.perf_counter()
    for step in range(ROWS):
        run.log(row, step)
    return {"log_ms": (time.perf_counter() - began) * 1_000}


def sync_floor_ms(run: Any) -> float:
    """The same bytes into one file and synced: what a finish that waits for the disk cannot go below."""
    import msgpack

    row = {f"train/metric_{number}": number * 0.37 for number in range(METRICS)}
    data = msgpack.packb((0, time.time_ns(), row)) * ROWS
    with tempfile.NamedTemporaryFile(dir=Path(run.home)) as file:
        began = time.perf_counter()
        os.write(file.fileno(), data)
        os.fdatasync(file.fileno())
        return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    answer(work)
