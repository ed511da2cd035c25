"""One training process that times single calls: of `run.log`, and of what it is set against, in turns."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import tempfile
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

import exptrack_agent as xt
from benchmarks.stats import quantile, turns
from benchmarks.workloads.answering import answer
from exptrack_agent.rows import RowLog

SLOW_NS = 1_000_000
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

Call = Callable[[int], object]


def measure(
    rounds: int, paced_calls: int, steady_calls: int, frozen: Sequence[int] = (), fill: str = ""
) -> dict[str, Any]:
    """Time everything, with these processes stopped, or with the disk full that holds the file `fill`."""
    run = xt.init("bench", autostart=False)
    run.log({"warm": 1.0})
    run.flush(5)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    if fill:
        fill_disk(fill)
    with tempfile.TemporaryDirectory() as folder:
        calls = contenders(run, folder)
        blocks = time_in_turns(calls, rounds)
        costs = {name: summary(block) for name, block in blocks.items()}
    ten = logging(run, floats(10))
    for name, count, apart_ns in (
        ("paced", paced_calls, 100_000),
        ("steady", steady_calls, 20_000),
    ):
        if count:
            costs[f"10 floats, {name}"] = summary(time_paced(ten, count, apart_ns))
            costs[f"empty function, {name}"] = summary(time_paced(empty, count, apart_ns))
    costs["10 floats, burst"] = summary(time_block(ten, 1_000 * rounds))
    stats = run.stats()
    run.finish(timeout_s=0.1)
    return {"costs": costs, "dropped": stats["dropped"], "refused": stats["refused"]}


def fill_disk(path: str) -> None:
    """Write until nothing more is taken."""
    with Path(path).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))


def contenders(run: xt.Run, folder: str) -> dict[str, tuple[Call, int]]:
    """By name: what is called, and how often in one round."""
    rows: dict[str, tuple[Mapping[str, Any], int]] = {
        "1 float": (floats(1), 200),
        "10 floats": (floats(10), 1_000),
        "100 floats": (floats(100), 100),
        "2,000 floats": (floats(2_000), 10),
        "10 NumPy scalars": (each(floats(10, "eval"), np.float32), 200),
        "10 torch tensors": (tensors(10), 200),
        "nested": ({"loss": {"train": 0.1, "eval": {"a": 0.2, "b": 0.3}}, "lr": 1e-3}, 200),
    }
    calls: dict[str, tuple[Call, int]] = {
        name: (logging(run, row), count) for name, (row, count) in rows.items()
    }
    calls["10 floats, in Python"] = (logging_in_python(run, floats(10)), 1_000)
    ten, box = floats(10), queue.SimpleQueue[object]()
    bounded: queue.Queue[object] = queue.Queue()
    calls["empty function"] = (empty, 1_000)
    calls["loop as long"] = (busy, 1_000)
    calls["msgpack.packb"] = (lambda _: msgpack.packb(ten), 1_000)
    calls["queue.put"] = (lambda _: bounded.put(ten), 1_000)
    calls["SimpleQueue.put"] = (lambda _: box.put(ten), 1_000)
    calls["SummaryWriter ×10"] = (summary_writer(folder, ten), 5)
    return calls


def logging(run: xt.Run, row: Mapping[str, Any]) -> Call:
    # `run.log` is looked up anew at each call, as user code does: the courier lets one call in some
    # milliseconds go through a timed way, which is a different attribute
    return lambda step: run.log(row, step)


def logging_in_python(run: xt.Run, row: Mapping[str, Any]) -> Call:
    """The reference that the compiled hot path stands for; the same call where none was built."""
    return lambda step: RowLog.log(run, row, step)


def empty(_: int) -> None:
    """What a call costs that does nothing."""


def busy(_: int) -> None:
    """Python code about as long as `log` that calls nothing of ours: shows what the scheduler does to it."""
    for _index in range(210):
        pass


def floats(count: int, group: str = "train") -> dict[str, float]:
    """A row; values of another kind get another group, since a metric is of one kind in training too."""
    return {f"{group}/metric_{number}": number * 0.37 for number in range(count)}


def each(row: dict[str, float], kind: Callable[[float], Any]) -> dict[str, Any]:
    return {name: kind(value) for name, value in row.items()}


def tensors(count: int) -> dict[str, Any]:
    import torch

    return each(floats(count, "grad"), torch.tensor)


def summary_writer(folder: str, row: dict[str, float]) -> Call:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)

    def call(step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    return call


def time_in_turns(calls: dict[str, tuple[Call, int]], rounds: int) -> dict[str, array[int]]:
    """Blocks of calls in turns; the costs of all calls by name, in nanoseconds."""
    costs: dict[str, array[int]] = {name: array("q") for name in calls}
    for call, count in calls.values():
        time_block(call, min(count, 100))  # caches, interned names, the first segment
    for _, name in turns(list(calls), rounds):
        call, count = calls[name]
        costs[name].extend(time_block(call, count))
    return costs


def time_block(call: Call, count: int) -> array[int]:
    clock = time.perf_counter_ns
    costs = array("q", bytes(8 * count))
    for step in range(count):
        began = clock()
        call(step)
        costs[step] = clock() - began
    return costs


def time_paced(call: Call, count: int, apart_ns: int) -> array[int]:
    """One call in a while, with Python code in between, as in a training step that is bound by the host."""
    clock = time.perf_counter_ns
    costs = array("q", bytes(8 * count))
    for step in range(count):
        began = clock()
        call(step)
        costs[step] = clock() - began
        while clock() - began < apart_ns:
            pass
    return costs


def summary(costs: array[int]) -> dict[str, float]:
    """Quantiles in microseconds, and how many calls took over a millisecond, in 100,000."""
    ordered = sorted(costs)
    found = {name: quantile(ordered, share) / 1_000 for name, share in _SHARES.items()}
    slow = sum(cost > SLOW_NS for cost in ordered)
    return {**found, "slow": slow, "calls": len(ordered)}


if __name__ == "__main__":
    answer(measure)
