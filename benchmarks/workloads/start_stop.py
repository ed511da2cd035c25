"""A fresh process that times the beginning and the end of a run."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer

_MOST_PENDING_BYTES = 4_000_000


def work(part: str, rows: int = 10_000, metrics: int = 20) -> dict[str, Any]:
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
        found |= log_much(run, rows, metrics)
    if part == "finish":
        finishing = time.perf_counter()
        run.finish()
        found["finish_ms"] = (time.perf_counter() - finishing) * 1_000
        found["floor_ms"] = sync_floor_ms(run, rows, metrics)
    return {**found, "last_line_at": time.perf_counter()}


def first_ack(run: Any, began: float) -> dict[str, float]:
    while run.stats()["acked"] == 0 and time.perf_counter() - began < 30:
        time.sleep(0.001)
    return {"ack_ms": (time.perf_counter() - began) * 1_000}


def second_init(xt: Any) -> float:
    began = time.perf_counter()
    xt.init("bench", autostart=False)
    return (time.perf_counter() - began) * 1_000


def log_much(run: Any, rows: int, metrics: int) -> dict[str, float]:
    """Log without a pause; more than the box holds, no faster than the daemon takes it."""
    row = {f"train/metric_{number}": number * 0.37 for number in range(metrics)}
    most_pending = max(1, _MOST_PENDING_BYTES // (25 * metrics))
    began = time.perf_counter()
    for step in range(rows):
        run.log(row, step)
        if metrics > 20 and step % 50 == 0:
            while run.stats()["pending"] > most_pending:
                time.sleep(0.002)
    return {"log_ms": (time.perf_counter() - began) * 1_000}


def sync_floor_ms(run: Any, rows: int, metrics: int) -> float:
    """The same bytes into one file and synced: what a finish that waits for all of it cannot go below."""
    import msgpack

    row = {f"train/metric_{number}": number * 0.37 for number in range(metrics)}
    data = msgpack.packb((0, time.time_ns(), row)) * rows
    with tempfile.NamedTemporaryFile(dir=Path(run.home)) as file:
        began = time.perf_counter()
        os.write(file.fileno(), data)
        os.fdatasync(file.fileno())
        return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    answer(work)
