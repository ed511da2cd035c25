"""One training process that times `log_training_step` against `run.log` of the same values, in turns."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any

import exptrack_agent as xt
from benchmarks.stats import quantile, turns
from benchmarks.workloads.answering import answer

_BLOCK = 200
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def measure(rounds: int) -> dict[str, Any]:
    """Quantiles of single calls in microseconds, by what was called."""
    config = xt.ExperimentConfig(record_source=False, record_environment=False)
    skipping = xt.ExperimentConfig.preset("Basic Tracking", log_interval=10**9)
    tracker = xt.ExperimentTracker(config, autostart=False)
    other = xt.ExperimentTracker(skipping, autostart=False)
    run = tracker.run

    def plain(step: int) -> None:
        run.log(
            {
                "train/loss": 0.5,
                "train/accuracy": 0.5,
                "train/learning_rate": 0.5,
                "gradients/norm": 0.5,
                "numerical_stability/nan_count": 0,
                "numerical_stability/inf_count": 0,
                "numerical_stability/clipping_applied": True,
                "numerical_stability/clipping_threshold": 0.5,
                "performance/training_time": 0.5,
                "performance/memory_usage": 0.5,
            },
            step,
        )

    calls = {
        "run.log": plain,
        "log_training_step": tracked(tracker),
        "log_training_step between intervals": tracked(other),
    }
    costs = time_in_turns(calls, rounds)
    tracker.close()
    other.close()
    return costs


def tracked(tracker: xt.ExperimentTracker) -> Callable[[int], None]:
    def call(step: int) -> None:
        tracker.log_training_step(
            loss=0.5,
            accuracy=0.5,
            learning_rate=0.5,
            gradient_norm=0.5,
            nan_count=0,
            inf_count=0,
            clipping_applied=True,
            clipping_threshold=0.5,
            training_time=0.5,
            memory_usage=0.5,
            step=step + 1,
        )

    return call


def time_in_turns(calls: dict[str, Callable[[int], None]], rounds: int) -> dict[str, Any]:
    costs = {name: array("q") for name in calls}
    clock = time.perf_counter_ns
    for _, name in turns(list(calls), rounds):
        call, block = calls[name], array("q", bytes(8 * _BLOCK))
        for step in range(_BLOCK):
            began = clock()
            call(step)
            block[step] = clock() - began
        costs[name].extend(block)
        time.sleep(
            0.001
        )  # two cores have others to serve; no block begins with what the last one left
    return {name: summary(found) for name, found in costs.items()}


def summary(costs: array[int]) -> dict[str, float]:
    ordered = sorted(costs)
    return {name: quantile(ordered, share) / 1_000 for name, share in _SHARES.items()}


if __name__ == "__main__":
    answer(measure)
