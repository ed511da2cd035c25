"""A training loop that is bound by the host; does a block of steps when told to."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

Report = Callable[[dict[str, float], int], object]


def work(tracker: str, width: int, metrics: int = 20, workers: int = 0) -> dict[str, Any]:
    """Each line on stdin is a number of steps to do; the answer is what they took. An empty line ends it."""
    step_once = training_step(width, workers)
    names = [f"train/metric_{number}" for number in range(metrics)]
    report, close = reporter(tracker)
    step = 0
    for line in iter(sys.stdin.readline, "\n"):
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            report(values(names, step_once()), step)
            step += 1
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        print(json.dumps(took), flush=True)
    close()
    return {"steps": step}


def training_step(width: int, workers: int) -> Callable[[], float]:
    """Forward, backward and update of a small network, on one thread; batches may come from a DataLoader."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.Adam(model.parameters())
    feed = batches(workers)

    def step() -> float:
        inputs, labels = next(feed)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def batches(workers: int) -> Iterator[Any]:
    """The same batch for ever, or what a DataLoader with so many worker processes brings."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    if not workers:
        yield from itertools.repeat((torch.randn(32, 64), torch.randint(0, 10, (32,))))
    data = TensorDataset(torch.randn(32_000, 64), torch.randint(0, 10, (32_000,)))
    loader = DataLoader(
        data, batch_size=32, shuffle=True, num_workers=workers, persistent_workers=True
    )
    while True:
        yield from loader


def values(names: list[str], loss: float) -> dict[str, float]:
    """Made in the untracked loop too: what is compared is the tracking alone."""
    return {name: loss + number for number, name in enumerate(names)}


def reporter(tracker: str) -> tuple[Report, Callable[[], object]]:
    """What is called with the metrics of each step, and at the end."""
    if tracker == "exptrack":
        import exptrack_agent as xt

        run = xt.init("bench", autostart=False)
        log: Report = lambda row, step: run.log(row, step)  # noqa: E731, PLW0108  # looked up at each call, as in user code
        return log, run.finish
    if tracker == "SummaryWriter":
        return summary_writer()
    return lambda row, step: None, lambda: None


def summary_writer() -> tuple[Report, Callable[[], object]]:
    from torch.utils.tensorboard import SummaryWriter

    folder = tempfile.TemporaryDirectory()
    writer = SummaryWriter(folder.name)

    def report(row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    def close() -> None:
        writer.close()
        folder.cleanup()

    return report, close


if __name__ == "__main__":
    from benchmarks.workloads.answering import answer

    answer(work)
