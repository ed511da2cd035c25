"""A training loop that is bound by the host, about 1 ms a step; does a block of steps when told to."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

METRICS = 20
Report = Callable[[dict[str, float], int], object]


def work(tracker: str, width: int) -> dict[str, Any]:
    """Each line on stdin is a number of steps to do; the answer is what they took. An empty line ends it."""
    step_once = training_step(width)
    report, close = reporter(tracker)
    step = 0
    for line in iter(sys.stdin.readline, "\n"):
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            report(metrics(step_once()), step)
            step += 1
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        print(json.dumps(took), flush=True)
    close()
    return {"steps": step}


def training_step(width: int) -> Callable[[], float]:
    """Forward, backward and update of a small network, on one thread."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.Adam(model.parameters())
    inputs, labels = torch.randn(32, 64), torch.randint(0, 10, (32,))

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def metrics(loss: float) -> dict[str, float]:
    """Made in the untracked loop too: what is compared is the tracking alone."""
    return {f"train/metric_{number}": loss + number for number in range(METRICS)}


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
