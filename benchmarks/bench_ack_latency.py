"""How long after `log()` returned is a row durable, and known to be?

A trainer logs rows of 10 metrics at a steady rate; each row's time is from the return of its `log()` to the
moment when the courier heard that it is durable. The daemon runs with its sinks. Set against what the disk
alone takes, in turns: append 4 KiB to a file in the same folder, and `fdatasync`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.harness import Plan, main
from benchmarks.homes import run_workload, running_daemon
from benchmarks.results import Goal, Report
from benchmarks.stats import quantile

QUESTION = "How long after log() returned is a row durable?"
RATES = (5_000, 50_000)
FLOOR = "append 4 KiB and fdatasync"
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

GOALS = [
    Goal(measure=f"{rate:,} points/s: p99", at_most=100, later=50, baseline=f"{FLOOR}: p99")
    for rate in RATES
]


def run(plan: Plan, report: Report) -> None:
    repeats, seconds = plan.pick(4, 2), plan.pick(3.0, 1.5)
    with running_daemon() as daemon:
        for repeat in range(repeats):
            for rate in RATES:
                plan.say(f"{rate:,} points/s, repeat {repeat + 1} of {repeats}")
                options = {"points_per_s": rate, "seconds": seconds}
                found = run_workload("ack_latency", daemon.home, **options)
                for share in SHARES:
                    report.add(f"{rate:,} points/s: {share}", "ms", found[share])
                report.add(f"rate reached of {rate:,}", "points/s", found["points_per_s"])
            note_floor(report, daemon.home.path)


def note_floor(report: Report, folder: Path) -> None:
    costs = sorted(sync_ms(folder / "floor.bin", 200))
    for share, part in SHARES.items():
        report.add(f"{FLOOR}: {share}", "ms", quantile(costs, part))


def sync_ms(path: Path, count: int) -> list[float]:
    costs, block = [], b"x" * 4096
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(count):
            began = time.perf_counter()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            costs.append((time.perf_counter() - began) * 1_000)
    finally:
        os.close(descriptor)
        path.unlink()
    return costs


if __name__ == "__main__":
    main(__file__)
