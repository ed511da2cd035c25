"""How many calls a second do the drop-ins take, against the trackers they stand in for?

Blocks of calls in turns, in one process: `add_scalar` of ten tags a step with torch's SummaryWriter and with
ours; `wandb.log` of ten floats with W&B (offline, capture and system metrics off) and with ours. Before each
block both sides hand over what they have (`flush`). A rate is calls by wall time of the calling thread, so
what a full queue makes a caller wait is in it; of the blocks of a repeat the median counts. The daemon runs.

Beside these: 20,000 calls of `add_scalar` back to back, which is more than two cores carry away meanwhile,
and a picture of 256×256, which SummaryWriter and W&B encode while training waits.
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
from benchmarks.stats import spread, turns

QUESTION = "How many calls a second do the drop-ins take, against SummaryWriter and W&B?"
SCALAR, LOG = "add_scalar", "wandb.log of 10 floats"
OURS = "drop-in"
BURST = "add_scalar, 20,000 back to back"
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
Contenders = dict[str, dict[str, tuple[Block, int, Callable[[], Any]]]]
"""By contender and kind of call: the block, how many calls, and what is done before it."""
_TAGS = [f"train/metric_{number}" for number in range(10)]


def run(plan: Plan, report: Report) -> None:
    repeats = plan.pick(7, 2)
    with ExitStack() as stack:
        daemon = stack.enter_context(running_daemon())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = (
            stack.enter_context(writers(folder, daemon.home.path)),
            stack.enter_context(wandbs(folder, daemon.home.path)),
        )
        for repeat in range(repeats):
            plan.say(f"repeat {repeat + 1} of {repeats}")
            for contenders in pairs:
                note(report, contenders, plan.pick(9, 3))


def note(report: Report, contenders: Contenders, rounds: int) -> None:
    """Time each contender's blocks in turns."""
    rates: dict[tuple[str, str], list[float]] = {}
    for kind in contenders[OURS]:
        for _, name in turns(list(contenders), rounds if kind in (SCALAR, LOG) else 1):
            block, calls, settle = contenders[name][kind]
            settle()
            rates.setdefault((kind, name), []).append(calls / timed(block, calls))
    theirs = next(iter(contenders))
    for kind in contenders[OURS]:
        median = {name: spread(rates[kind, name]).median for name in contenders}
        for name, rate in median.items():
            report.add(f"{kind}, {name}", "calls/s", rate)
        report.add(f"{kind}: times the calls of {theirs}", "", median[OURS] / median[theirs])


def timed(block: Block, size: int) -> float:
    began = time.perf_counter()
    block(size)
    return time.perf_counter() - began


@contextmanager
def writers(folder: Path, home: Path) -> Iterator[Contenders]:
    from torch.utils.tensorboard import SummaryWriter as Stock

    from exptrack_agent.compat.tensorboard import SummaryWriter

    with (
        Stock(str(folder / "stock")) as stock,
        SummaryWriter(folder / "ours", home=home, autostart=False) as ours,
    ):
        yield {"SummaryWriter": writer_blocks(stock), OURS: writer_blocks(ours)}


def writer_blocks(writer: Any) -> dict[str, tuple[Block, int, Callable[[], Any]]]:
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
    return {
        SCALAR: (scalars, 2_000, writer.flush),
        BURST: (scalars, 20_000, writer.flush),
        PICTURE: (pictures, 10, writer.flush),
    }


@contextmanager
def wandbs(folder: Path, home: Path) -> Iterator[Contenders]:
    os.environ |= {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    import wandb

    import exptrack_agent.compat.wandb as ours

    settings = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True)
    theirs = wandb.init(project="bench", mode="offline", dir=folder, settings=settings)
    run = ours.init(project="bench", home=home, autostart=False, sinks=[])
    try:
        yield {
            "wandb": wandb_blocks(wandb, lambda: time.sleep(0.2)),  # it has no flush
            OURS: wandb_blocks(ours, run.exptrack.flush),
        }
    finally:
        run.finish()
        theirs.finish()


def wandb_blocks(
    module: Any, settle: Callable[[], Any]
) -> dict[str, tuple[Block, int, Callable[[], Any]]]:
    row = {tag: number * 0.37 for number, tag in enumerate(_TAGS)}
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)

    def rows(calls: int) -> None:
        for _ in range(calls):
            module.log(row)

    def pictures(calls: int) -> None:
        for _ in range(calls):
            module.log({"picture": module.Image(pixels)})

    rows(100)
    return {LOG: (rows, 1_000, settle), WANDB_PICTURE: (pictures, 10, settle)}


if __name__ == "__main__":
    main(__file__)
