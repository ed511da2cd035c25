"""A loop with and without tracking that looks at its own memory. Imports next to nothing of its own."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from benchmarks.workloads.answering import answer

METRICS = 20
_FIELDS = {"Rss": "rss", "Pss": "pss", "Pss_Shmem": "shared memory", "Pss_Anon": "anonymous"}


def work(is_tracked: bool, seconds: float, points_per_s: int) -> dict[str, Any]:
    run = None
    if is_tracked:
        import exptrack_agent as xt

        run = xt.init("bench", autostart=False)
        run.log({"warm": 1.0})
        run.flush(5)
    time.sleep(0.3)  # the courier has imported and connected
    found = {"after init": memory_mb()}
    found["under load"] = loop(run, seconds, points_per_s / METRICS)
    if run is not None:
        run.finish()
    return found


def loop(run: Any, seconds: float, rows_per_s: float) -> dict[str, float]:
    """Log at a rate; returns the most that each kind of memory took."""
    most: dict[str, float] = {}
    began = time.perf_counter()
    row_count = round(seconds * rows_per_s)
    for step in range(row_count):
        row = {f"train/metric_{number}": number * 0.37 + step for number in range(METRICS)}
        if run is not None:
            run.log(row, step)
        if step % 500 == 0:
            most = {name: max(value, most.get(name, 0)) for name, value in memory_mb().items()}
        late = time.perf_counter() - began - step / rows_per_s
        if late < -0.001:
            time.sleep(-late)
    return most


def memory_mb() -> dict[str, float]:
    """Memory of this process by kind, in MB."""
    gc.collect()
    found = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(value.split()[0]) / 1000
    return found


if __name__ == "__main__":
    answer(work)
