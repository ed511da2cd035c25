"""How long does training stand still for a checkpoint, next to `torch.save` to the same disk?

A model with Adam trains on one thread; after a step its state is saved, each way in turn, and what is timed
is how long training cannot go on. `torch.save` is not even durable when it returns; ours writes, syncs and
digests in another process meanwhile, which is waited for outside the timing (so saves do not pile up), and
shown. The floor is the copy alone, into memory that is there already.

The first save of all is a case of its own, since fresh memory is what costs most: ours has it made by a
thread from the first optimizer step on. "Nothing made ahead" is a save that comes before that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Plan, main
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_agent.torch.checkpoints import Checkpoints

QUESTION = "How long does training stand still for a checkpoint, next to torch.save?"
SIZES = {"100 MB": (1_024, 8), "1 GB": (4_096, 5)}
SMALL = {"25 MB": (1_024, 2), "100 MB": (1_024, 8)}
STOCK, FLOOR, OURS, OVERLAP = "torch.save", "the copy alone", "save()", "save(), overlap=True"
FIRST, UNPREPARED = "first save()", "first save(), nothing made ahead"
SHARE = ", share of torch.save"

GOALS = [
    Goal(measure=f"100 MB: {OURS}{SHARE}", at_most=25),
    Goal(measure=f"1 GB: {OURS}{SHARE}", at_most=20),
    Goal(measure=f"100 MB: {FIRST}{SHARE}", at_most=25),
    Goal(measure=f"1 GB: {FIRST}{SHARE}", at_most=20),
]


class Trainer:
    def __init__(self, width: int, layers: int) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            *(torch.nn.Linear(width, width, bias=False) for _ in range(layers))
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-5)
        self._data = torch.randn(1, width)
        self._buffers: list[Any] = []

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(self._data).square().mean().backward()
        self.optimizer.step()

    def tensors(self) -> list[Any]:
        states = self.optimizer.state.values()
        moments = [value for state in states for value in state.values()]
        return [*self.model.state_dict().values(), *moments]

    def copy(self) -> None:
        for target, source in zip(self._buffers, self.tensors(), strict=True):
            target.copy_(source)

    def make_buffers(self) -> None:
        self._buffers = [tensor.clone() for tensor in self.tensors()]

    def drop_buffers(self) -> None:
        self._buffers = []

    def save(self, checkpoints: Checkpoints, step: int) -> None:
        checkpoints.save(self.model, self.optimizer, epoch=0, step=step, loss=0.5)


class JoinTimer:
    """How long an optimizer's step waits for copies: between a hook before theirs and one behind it."""

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints) -> None:
        self.waited_s = 0.0
        self._began = 0.0
        optimizer = trainer.optimizer
        hooks = [optimizer.register_step_pre_hook(self._begin)]
        trainer.save(checkpoints, 0)
        hooks.append(optimizer.register_step_pre_hook(self._end))
        self._hooks = hooks

    def _begin(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.waited_s = time.perf_counter() - self._began

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def run(plan: Plan, report: Report) -> None:
    torch.set_num_threads(1)
    for size, shape in plan.pick(SIZES, SMALL).items():
        rounds = plan.pick(7 if size == "100 MB" else 5, 3)
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            _measure(plan, report, _Case(size, Trainer(*shape), Path(folder)), rounds)
    report.notes.append(
        "a step of the same training, in ms: "
        + ", ".join(
            f"{size} {report.median(f'{size}: a step'):.0f}" for size in plan.pick(SIZES, SMALL)
        )
    )


class _Case:
    def __init__(self, size: str, trainer: Trainer, folder: Path) -> None:
        self.size = size
        self.trainer = trainer
        self.folder = folder
        self.number = 0


def _measure(plan: Plan, report: Report, case: _Case, rounds: int) -> None:
    trainer, size = case.trainer, case.size
    trainer.step()
    warm = Checkpoints(case.folder / "warm", keep_last=1)
    lapped = Checkpoints(case.folder / "lapped", keep_last=1, overlap=True)
    timer = JoinTimer(trainer, lapped)
    trainer.save(warm, 0)
    trainer.make_buffers()

    def overlapped(_: int) -> float:
        taken_s = _timed(lambda: trainer.save(lapped, case.number))
        trainer.step()
        return taken_s + timer.waited_s

    ways: dict[str, Callable[[int], float]] = {
        STOCK: lambda _: _timed(lambda: _torch_save(case)),
        FLOOR: lambda _: _timed(trainer.copy),
        OURS: lambda _: _timed(lambda: trainer.save(warm, case.number)),
        OVERLAP: overlapped,
    }
    for number, name in turns(list(ways), rounds):
        plan.say(f"{size}, round {number + 1} of {rounds}: {name}")
        report.add(f"{size}: a step", "ms", _timed(trainer.step) * 1e3)
        case.number += 1
        report.add(f"{size}: {name}", "ms", ways[name](number) * 1e3)
        began = time.perf_counter()
        _settle(warm, lapped)
        if name == OURS:
            report.add(f"{size}: then on disk, synced, after", "ms", _since(began))
    timer.close()
    _close(warm, lapped)
    trainer.drop_buffers()
    _measure_first(plan, report, case, plan.pick(3, 2))
    stock_ms = report.median(f"{size}: {STOCK}")
    for name in (FLOOR, OURS, OVERLAP, FIRST, UNPREPARED):
        for value in report.measures[f"{size}: {name}"].values:
            report.add(f"{size}: {name}{SHARE}", "%", value / stock_ms * 100)


def _measure_first(plan: Plan, report: Report, case: _Case, rounds: int) -> None:
    trainer, size = case.trainer, case.size
    for number in range(rounds):
        plan.say(f"{size}: first saves, {number + 1} of {rounds}")
        with Checkpoints(case.folder / f"late-{number}", keep_last=1) as checkpoints:
            report.add(
                f"{size}: {UNPREPARED}",
                "ms",
                _timed(lambda c=checkpoints: trainer.save(c, 1)) * 1e3,
            )
        with Checkpoints(case.folder / f"first-{number}", keep_last=1) as checkpoints:
            began = time.perf_counter()
            steps = 0
            while not checkpoints.is_prepared:
                trainer.step()
                steps += 1
            report.add(f"{size}: memory made by a thread, in steps", "", steps)
            report.add(f"{size}: memory made by a thread, within", "ms", _since(began))
            report.add(
                f"{size}: {FIRST}", "ms", _timed(lambda c=checkpoints: trainer.save(c, 1)) * 1e3
            )


def _torch_save(case: _Case) -> None:
    trainer = case.trainer
    state = {
        "model_state_dict": trainer.model.state_dict(),
        "optimizer_state_dict": trainer.optimizer.state_dict(),
    }
    torch.save(state, case.folder / f"stock-{case.number % 2}.pt")


def _settle(*all_checkpoints: Checkpoints) -> None:
    for checkpoints in all_checkpoints:
        if not checkpoints.wait(120):
            raise TimeoutError("a checkpoint was not written within two minutes")


def _close(*all_checkpoints: Checkpoints) -> None:
    for checkpoints in all_checkpoints:
        stats = checkpoints.stats()
        if stats["written"] != sum(stats.values()):
            raise RuntimeError(f"not every save was written: {stats}")
        checkpoints.close()


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main(__file__)
