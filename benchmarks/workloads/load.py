"""Several trainers in one process that log at a steady rate, or flat out; notes when rows became durable."""

from __future__ import annotations

import sys
import time
from array import array
from bisect import bisect_right
from typing import Any

import exptrack_agent as xt
from benchmarks.workloads.answering import answer
from exptrack_agent.courier import Lane
from exptrack_agent.rows import RowLog
from exptrack_proto.control import Ack

METRICS = 10
_SAMPLES = 2_000


class AckTimes:
    """Of each run, when it was heard that everything before a sequence is durable."""

    def __init__(self) -> None:
        self._heard: dict[RowLog, tuple[list[int], list[float]]] = {}

    def listen(self) -> None:
        """From now on note each acknowledgement that the courier of this process hears."""
        hear = Lane.heard

        def heard(lane: Lane, ack: Ack, now: float) -> None:
            hear(lane, ack, now)
            sequences, times = self._heard.setdefault(lane.run, ([], []))
            times.append(time.perf_counter())
            sequences.append(lane.acknowledged)

        Lane.heard = heard  # type: ignore[method-assign]

    def of(self, run: RowLog, sequence: int) -> float | None:
        """When the item was known to be durable; None: not yet."""
        sequences, times = self._heard.get(run, ([], []))
        place = bisect_right(sequences, sequence)
        return times[place] if place < len(times) else None


class Trainer:
    """One run, and when each of its rows was logged."""

    def __init__(self, name: str) -> None:
        self.run = xt.init("bench", name=name, autostart=False)
        self.run.log({"warm": 1.0})
        if not self.run.flush(20):
            raise RuntimeError("the daemon does not take rows")
        self.first = self.run.sequence
        self.logged_at = array("d")

    def latencies_ms(self, acks: AckTimes) -> list[float]:
        pairs = ((acks.of(self.run, self.first + n), at) for n, at in enumerate(self.logged_at))
        return [(heard - at) * 1_000 for heard, at in pairs if heard is not None]


def work(label: str, trainers: int, points_per_s: float, seconds: float) -> dict[str, Any]:
    """Wait for a line, then log; `points_per_s` of all trainers together, 0: as fast as it goes."""
    acks = AckTimes()
    acks.listen()
    crew = [Trainer(f"{label}-{number}") for number in range(trainers)]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    most_spooled = log_in_turns(crew, points_per_s / METRICS, seconds)
    took = time.perf_counter() - began
    is_durable = all(trainer.run.flush(120) for trainer in crew)
    flushed = time.perf_counter() - began - took
    latencies = sorted(value for trainer in crew for value in trainer.latencies_ms(acks))
    stats = [trainer.run.stats() for trainer in crew]
    for trainer in crew:
        trainer.run.finish()
    points = METRICS * sum(len(trainer.logged_at) for trainer in crew)
    every = max(1, len(latencies) // _SAMPLES)
    return {
        "points": points,
        "points_per_s": points / took,
        "durable_after_s": flushed if is_durable else None,
        "latencies_ms": latencies[::every] + latencies[-1:],
        "dropped": sum(each["dropped"] for each in stats),
        "most_spooled": most_spooled,
    }


def log_in_turns(crew: list[Trainer], rows_per_s: float, seconds: float) -> int:
    """Log rows at their times, late ones at once; returns the most bytes that stood in spools."""
    row = {f"train/metric_{number}": number * 0.37 for number in range(METRICS)}
    clock, number, most = time.perf_counter, 0, 0
    began = look_at = clock()
    while (now := clock()) - began < seconds:
        due = began + number / rows_per_s if rows_per_s else now
        if due - now > 0.0005:
            time.sleep(due - now - 0.0003)
            continue
        if due > now:
            continue
        trainer = crew[number % len(crew)]
        trainer.run.log(row, number)
        trainer.logged_at.append(clock())
        number += 1
        if now > look_at:
            look_at = now + 0.1
            most = max(most, sum(each.run.stats()["spooled"] for each in crew))
    return most


if __name__ == "__main__":
    answer(work)
