"""A trainer that logs at a steady rate and notes when each row is acknowledged as durable."""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import Any

import exptrack_agent as xt
from benchmarks.stats import quantile
from benchmarks.workloads.answering import answer
from exptrack_agent.courier import Lane
from exptrack_proto.control import Ack

METRICS = 10
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class AckTimes:
    """When it was heard that everything before a sequence is durable."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.times: list[float] = []

    def listen(self) -> None:
        """From now on note each acknowledgement that the courier of this process hears."""
        hear = Lane.heard

        def heard(lane: Lane, ack: Ack, now: float) -> None:
            hear(lane, ack, now)
            self.times.append(time.perf_counter())
            self.sequences.append(lane.acknowledged)

        Lane.heard = heard  # type: ignore[method-assign]

    def of(self, sequence: int) -> float:
        """When the item was known to be durable."""
        return self.times[bisect_right(self.sequences, sequence)]


def work(points_per_s: int, seconds: float) -> dict[str, Any]:
    acks = AckTimes()
    acks.listen()
    run = xt.init("bench", autostart=False)
    run.log({"warm": 1.0})
    assert run.flush(10)
    first = run.sequence
    returned = log_steadily(run, points_per_s / METRICS, seconds)
    assert run.flush(20)
    latencies = sorted((acks.of(first + number) - at) * 1_000 for number, at in enumerate(returned))
    run.finish()
    return {
        **{name: quantile(latencies, share) for name, share in SHARES.items()},
        "points_per_s": len(returned) * METRICS / (returned[-1] - returned[0]),
    }


def log_steadily(run: xt.Run, rows_per_s: float, seconds: float) -> list[float]:
    """Log rows at their times (late ones at once); returns when each `log` returned."""
    row = {f"train/metric_{number}": number * 0.37 for number in range(METRICS)}
    clock, returned = time.perf_counter, []
    began = clock()
    for number in range(round(rows_per_s * seconds)):
        due = began + number / rows_per_s
        while (left := due - clock()) > 0:
            if left > 0.0005:
                time.sleep(left - 0.0003)
        run.log(row, number)
        returned.append(clock())
    return returned


if __name__ == "__main__":
    answer(work)
