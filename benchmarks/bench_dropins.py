"""How many calls a second do the drop-ins take, against the trackers they stand in for?

Blocks of calls in turns, in one process: `add_scalar` of ten tags a step with torch's SummaryWriter and with
ours; `wandb.log` of ten floats with W&B (offline, capture and system metrics off) and with ours. A rate is
calls by wall time of the calling thread, so what a full queue makes a caller wait is in it. The daemon runs.
A picture of 256×256 is timed too: SummaryWriter and W&B encode it while training waits.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Plan, main
from benchmarks.homes import running_daemon
from benchmarks.results import Goal, Report
from benchmarks.stats import turns

QUESTION = "How many calls a second do the drop-ins take, against SummaryWriter and W&B?"
SCALAR, LOG = "add_scalar", "wandb.log of 10 floats"
OURS = "drop-in"
PICTURE, WANDB_PICTURE = "add_image of 256×256", "wandb.log of a 256×256 Image"

GOALS = [
    Goal(
        measure=f"{SCALAR}: times the calls of SummaryWriter",
        at_least=100,
        baseline=f"{SCALAR}, SummaryWriter",
    ),
    Goal(measure=f"{LOG}: times the calls of wandb", at_least=50, baseline=f"{LOG}, wandb"),
]

Block = Callable[[int], None]
_LONGER = 10
"""Our blocks are so much longer: else they would last a millisecond, and the scheduler decide."""
_TAGS = [f"train/metric_{number}" for number in range(10)]


def run(plan: Plan, report: Report) -> None:
    repeats = plan.pick(7, 2)
    with ExitStack() as stack:
        daemon = stack.enter_context(running_daemon())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = {
            SCALAR: (stack.enter_context(writers(folder, daemon.home.path)), plan.pick(2_000, 500)),
            LOG: (stack.enter_context(wandbs(folder, daemon.home.path)), plan.pick(2_000, 500)),
        }
        for repeat in range(repeats):
            plan.say(f"repeat {repeat + 1} of {repeats}")
            for what, (contenders, calls) in pairs.items():
                note(report, what, contenders, calls)


def note(report: Report, what: str, contenders: dict[str, Any], calls: int) -> None:
    """Time each contender's blocks in turns."""
    rates: dict[str, float] = {}
    for _, name in turns(list(contenders), 1):
        for kind, (block, size) in contenders[name].items():
            number = size or (calls * _LONGER if name == OURS else calls)
            rates[f"{kind}, {name}"] = rate = number / timed(block, number)
            report.add(f"{kind}, {name}", "calls/s", rate)
    theirs = next(name for name in contenders if name != OURS)
    for kind in contenders[OURS]:
        ratio = rates[f"{kind}, {OURS}"] / rates[f"{kind}, {theirs}"]
        report.add(f"{kind}: times the calls of {theirs}", "", ratio)


def timed(block: Block, size: int) -> float:
    began = time.perf_counter()
    block(size)
    return time.perf_counter() - began


@contextmanager
def writers(folder: Path, home: Path) -> Iterator[dict[str, dict[str, tuple[Block, int]]]]:
    from torch.utils.tensorboard import SummaryWriter as Stock

    from exptrack_agent.compat.tensorboard import SummaryWriter

    with (
        Stock(str(folder / "stock")) as stock,
        SummaryWriter(folder / "ours", home=home, autostart=False) as ours,
    ):
        yield {"SummaryWriter": writer_blocks(stock), OURS: writer_blocks(ours)}


def writer_blocks(writer: Any) -> dict[str, tuple[Block, int]]:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 256, 256), np.uint8)
    step = 0

    def scalars(calls: int) -> None:
        nonlocal step
        for _ in range(calls // len(_TAGS)):
            for tag in _TAGS:
                writer.add_scalar(tag, 0.5, step)
            step += 1

    def pictures(calls: int) -> None:
        for number in range(calls):
            writer.add_image("picture", pixels, number)

    scalars(100)
    return {SCALAR: (scalars, 0), PICTURE: (pictures, 10)}


@contextmanager
def wandbs(folder: Path, home: Path) -> Iterator[dict[str, dict[str, tuple[Block, int]]]]:
    os.environ |= {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    import wandb

    import exptrack_agent.compat.wandb as ours

    settings = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True)
    theirs = wandb.init(project="bench", mode="offline", dir=folder, settings=settings)
    run = ours.init(project="bench", home=home, autostart=False, sinks=[])
    try:
        yield {"wandb": wandb_blocks(wandb), OURS: wandb_blocks(ours)}
    finally:
        run.finish()
        theirs.finish()


def wandb_blocks(module: Any) -> dict[str, tuple[Block, int]]:
    row = {tag: number * 0.37 for number, tag in enumerate(_TAGS)}
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)

    def rows(calls: int) -> None:
        for _ in range(calls):
            module.log(row)

    def pictures(calls: int) -> None:
        for _ in range(calls):
            module.log({"picture": module.Image(pixels)})

    rows(100)
    return {LOG: (rows, 0), WANDB_PICTURE: (pictures, 10)}


if __name__ == "__main__":
    main(__file__)
