"""What do gradient norms, clipping and histograms cost beside a training step of a transformer?

A transformer of about 12 million parameters trains on one thread. In every round it does one step;
then each way gets the same gradients back and is timed alone, in turns (the least of five tries).
What `wandb.watch` costs cannot be timed alone, since it hooks into the backward pass: it is the
step of a watched twin less that of one which is not, in the same round.

All times are CPU time of the training thread; what W&B does in other threads is not counted against it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

import exptrack_agent as xt
from benchmarks.harness import Plan, main
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_agent.torch import clip_gradients, log_gradients

QUESTION = (
    "What do gradient norms with clipping, and histograms, cost a transformer of 12 M parameters?"
)
STOCK, OURS = "clip_grad_norm_", "exptrack clip_gradients"
STOCK_IDLE, OURS_IDLE = (
    "clip_grad_norm_, below the limit",
    "exptrack clip_gradients, below the limit",
)
NORMS, BOTH = "exptrack log_gradients", "exptrack log_gradients with histograms"
WRITER = "add_histogram of each parameter"
WANDB = "added by wandb.watch(log_freq=1)"
STEP = "step"
_TINY, _HUGE = 1e-3, 1e9
_TRIES = 5

GOALS = [
    Goal(measure="clipping with all norms, against clip_grad_norm_", at_most=1.3, later=1.0),
    Goal(measure="clipping with all norms, share of the step", at_most=2.0),
    Goal(measure="add_histogram, times the cost of log_gradients", at_least=50),
    Goal(measure="wandb.watch, times the cost of log_gradients", at_least=20),
]


class Model(torch.nn.Module):
    def __init__(self, *, width: int, layers: int, words: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(words, width)
        layer = torch.nn.TransformerEncoderLayer(width, 6, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = torch.nn.Linear(width, words)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.encoder(self.embedding(tokens)))


class Trainer:
    """A model that can do a step, and give its gradients back."""

    def __init__(self, plan: Plan, batch: tuple[int, int] = (8, 64)) -> None:
        torch.manual_seed(0)
        width, layers, words = plan.pick((384, 5, 4_000), (96, 2, 500))
        self.model = Model(width=width, layers=layers, words=words)
        self.parameters = list(self.model.parameters())
        self._optimizer = torch.optim.AdamW(self.parameters, 1e-4)
        self._tokens = torch.randint(0, words, batch)
        self._kept: list[Any] = []

    def step(self) -> None:
        self._optimizer.zero_grad()
        scores = self.model(self._tokens)
        torch.nn.functional.cross_entropy(scores.flatten(0, 1), self._tokens.flatten()).backward()
        self._optimizer.step()

    def keep_gradients(self) -> None:
        self._kept = [parameter.grad.clone() for parameter in self.parameters]

    def restore_gradients(self) -> None:
        for parameter, gradient in zip(self.parameters, self._kept, strict=True):
            parameter.grad.copy_(gradient)


def run(plan: Plan, report: Report) -> None:
    torch.set_num_threads(1)
    rounds = plan.pick(12, 3)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trainer = Trainer(plan)
        ways = dict(_ways(trainer, folder, stack))
        for way in ways.values():  # what is made once is made here
            trainer.step()
            way(0)
        found: dict[str, list[float]] = {name: [] for name in (STEP, *ways)}
        for number, name in turns(list(ways), rounds):
            plan.say(f"round {number + 1} of {rounds}: {name}")
            if not number or name == next(iter(ways)):
                found[STEP].append(_timed(trainer.step))
                trainer.keep_gradients()
            tries = 1 if name == WRITER else _TRIES
            found[name].append(_best(trainer, ways[name], number, tries))
        for name, values in found.items():
            for seconds in values:
                report.add(name, "ms", seconds * 1e3)
    with contextlib.suppress(ImportError):
        _note_wandb(plan, report, plan.pick(8, 2))
    _note_ratios(report)
    report.notes.append(
        f"{sum(p.numel() for p in trainer.parameters) / 1e6:.1f} M parameters in"
        f" {len(trainer.parameters)} tensors; {rounds} rounds, one thread"
    )


def _ways(
    trainer: Trainer, folder: Path, stack: ExitStack
) -> Iterator[tuple[str, Callable[[int], object]]]:
    from torch.utils.tensorboard import SummaryWriter

    tracked = xt.init(project="bench", home=folder / "home", mode="offline")
    stack.callback(tracked.finish)
    writer = SummaryWriter(str(folder / "writer"))
    stack.callback(writer.close)
    model, clip = trainer.model, torch.nn.utils.clip_grad_norm_

    def add_histograms(step: int) -> None:
        for name, parameter in model.named_parameters():
            writer.add_histogram(name, parameter.grad, step)

    yield STOCK, lambda _: clip(model.parameters(), _TINY)
    yield OURS, lambda step: clip_gradients(tracked, model, _TINY, step)
    yield STOCK_IDLE, lambda _: clip(model.parameters(), _HUGE)
    yield OURS_IDLE, lambda step: clip_gradients(tracked, model, _HUGE, step)
    yield NORMS, lambda step: log_gradients(tracked, model, step)
    yield BOTH, lambda step: log_gradients(tracked, model, step, histograms=True)
    yield WRITER, add_histograms


def _note_wandb(plan: Plan, report: Report, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"WANDB_MODE": "offline", "WANDB_DIR": folder, "WANDB_SILENT": "true"}
        import wandb

        # Small batches: what hooks cost does not depend on them, but how much a step varies does.
        plain, watched = (Trainer(plan, batch=(2, 16)) for _ in range(2))
        wandb_run = wandb.init(project="bench", dir=folder, mode="offline")
        wandb_run.watch(watched.model, log="gradients", log_freq=1)

        def watched_step(step: int) -> None:
            watched.step()
            wandb_run.log({"step": step})

        plain.step()
        watched_step(0)
        for number in range(rounds):
            plan.say(f"round {number + 1} of {rounds}: {WANDB}")
            without_s = _timed(plain.step)
            with_s = _timed(lambda number=number: watched_step(number + 1))
            report.add(WANDB, "ms", (with_s - without_s) * 1e3)
        wandb_run.finish()


def _note_ratios(report: Report) -> None:
    def values(name: str) -> list[float]:
        return report.measures[name].values

    for ours, stock in zip(values(OURS), values(STOCK), strict=True):
        report.add("clipping with all norms, against clip_grad_norm_", "×", ours / stock)
    for ours, stock in zip(values(OURS_IDLE), values(STOCK_IDLE), strict=True):
        report.add("the same, below the limit", "×", ours / stock)
    step_ms, norms_ms = report.median(STEP), report.median(NORMS)
    for ours in values(OURS):
        report.add("clipping with all norms, share of the step", "%", ours / step_ms * 100)
    for writer in values(WRITER):
        report.add("add_histogram, times the cost of log_gradients", "×", writer / norms_ms)
    for ours, writer in zip(values(BOTH), values(WRITER), strict=True):
        report.add("add_histogram, times the cost of our histograms and norms", "×", writer / ours)
    if WANDB in report.measures:
        for added in values(WANDB):
            report.add("wandb.watch, times the cost of log_gradients", "×", added / norms_ms)
            both_ms = report.median(BOTH)
            report.add(
                "wandb.watch, times the cost of our histograms and norms", "×", added / both_ms
            )


def _best(trainer: Trainer, way: Callable[[int], object], step: int, tries: int) -> float:
    """The least of a few tries: what takes 3 ms is lost in what another process of this machine takes."""
    times = []
    for _ in range(tries):
        trainer.restore_gradients()
        times.append(_timed(lambda: way(step)))
    return min(times)


def _timed(act: Callable[[], object]) -> float:
    began = (
        time.thread_time()
    )  # wall time tells of other processes, on a machine that is not ours alone
    act()
    return time.thread_time() - began


if __name__ == "__main__":
    main(__file__)
