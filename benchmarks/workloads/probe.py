"""A trainer that logs one value now and then, and tells when: others look where it shows up."""

from __future__ import annotations

import select
import sys
import time
from typing import Any

import exptrack_agent as xt
from benchmarks.workloads.answering import answer


def work(run_id: str, every_s: float) -> dict[str, Any]:
    """Log until a line comes; the answer is when each step was logged (`time.monotonic`)."""
    run = xt.init("bench", run_id=run_id, name=run_id, autostart=False)
    logged_at = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], every_s)[0]:
        run.log({"probe": float(len(logged_at))}, len(logged_at))
        logged_at.append(time.monotonic())
    run.finish(timeout_s=30)
    return {"logged_at": logged_at}


if __name__ == "__main__":
    answer(work)
