"""`StepTimer`: how fast training is, and where a step's time goes.

    timer = StepTimer(run, samples=64, accumulation=4)
    for step, (x, y) in enumerate(timer.loader(loader)):      # waiting for data
        with timer.phase("forward"):
            loss = model(x, y)
        with timer.phase("backward"):
            loss.backward()
        if timer.micro_step():                                # True at every fourth
            with timer.phase("optimizer"):
                optimizer.step()
            timer.step(step)                                  # records

Times are the host's. On an accelerator, which works behind the host's back, phases say what the
host spent; samples per second are right all the same, since the host cannot run ahead for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.ranks import world_size
from exptrack_agent.torch.sending import kept_from_training, put_row

T = TypeVar("T")
_S = 1e-9


class Batch(NamedTuple):
    """What one micro-step of one rank takes in. Told, not guessed."""

    samples: int = 0
    tokens: int = 0
    flops_per_sample: float = 0.0
    """Operations of forward and backward for one sample: about 3 × those of forward."""
    peak_flops: float = 0.0
    """What the device could do in a second, for the model FLOPs utilisation."""


class StepTimer:
    """Times phases, counts micro-steps, records once an optimizer step (or every few).

    Args:
        run: from `exptrack_agent.init`.
        samples: in one micro-batch of this rank; `step(samples=…)` where they differ.
        tokens: likewise.
        accumulation: micro-steps an optimizer step.
        world: ranks that train together; None: found out.
        flops_per_sample, peak_flops: with both, `performance/mfu` is recorded.
        every: record every so many optimizer steps, the means since the last time.
        clock: nanoseconds; for tests.
    """

    def __init__(  # noqa: PLR0913  # the public contract
        self,
        run: Any,
        *,
        samples: int = 0,
        tokens: int = 0,
        accumulation: int = 1,
        world: int | None = None,
        flops_per_sample: float = 0.0,
        peak_flops: float = 0.0,
        every: int = 1,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        if accumulation < 1 or every < 1:
            raise Misuse("StepTimer takes accumulation >= 1 and every >= 1")
        self.micro_steps = 0
        """In all."""
        self.steps = 0
        """Optimizer steps in all."""
        self._run = run
        self._batch = Batch(samples, tokens, flops_per_sample, peak_flops)
        self._accumulation = accumulation
        self._world = world
        self._every = every
        self._clock = clock
        self._phases: dict[str, _Phase] = {}
        self._began = clock()
        self._steps_since = self._micro_since = 0
        self._samples_since = self._tokens_since = 0

    def phase(self, name: str) -> _Phase:
        """A context whose time is recorded as `performance/step/NAME_s`; costs about half a microsecond."""
        phase = self._phases.get(name)
        if phase is None:
            phase = self._phases[name] = _Phase(self._clock)
        return phase

    def loader(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, with the time waited for each recorded as `performance/step/data_s`."""
        phase = self.phase("data")
        iterator = iter(batches)
        while True:
            with phase:
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch

    def micro_step(self, samples: int | None = None, tokens: int | None = None) -> bool:
        """Count one forward and backward; True when an optimizer step is due by `accumulation`."""
        self._micro_since += 1
        self.micro_steps += 1
        self._samples_since += self._batch.samples if samples is None else samples
        self._tokens_since += self._batch.tokens if tokens is None else tokens
        return self.micro_steps % self._accumulation == 0

    @left_out_of_compile
    def step(self, step: int | None = None) -> None:
        """After an optimizer step: record, if it is time.

        Args:
            step: where on the x axis; None: optimizer steps so far.
        """
        if not self._micro_since:
            self.micro_step()
        self.steps += 1
        self._steps_since += 1
        if self._steps_since < self._every:
            return
        with kept_from_training("StepTimer"):
            put_row(self._run, self._row(), self.steps - 1 if step is None else step)
        self._begin_again()

    def _row(self) -> dict[str, Any]:
        wall_s = max(self._clock() - self._began, 1) * _S
        world = world_size() if self._world is None else self._world
        steps = self._steps_since
        row: dict[str, Any] = {
            "performance/step_s": wall_s / steps,
            "performance/micro_steps": self._micro_since / steps,
        }
        if self._samples_since:
            row["performance/samples_per_second"] = self._samples_since * world / wall_s
            row["performance/effective_batch"] = self._samples_since * world / steps
        if self._tokens_since:
            row["performance/tokens_per_second"] = self._tokens_since * world / wall_s
        batch = self._batch
        if batch.flops_per_sample and batch.peak_flops and self._samples_since:
            done = batch.flops_per_sample * self._samples_since
            row["performance/mfu"] = done / wall_s / batch.peak_flops
        row |= self._phase_row(wall_s, steps)
        return row

    def _phase_row(self, wall_s: float, steps: int) -> dict[str, float]:
        spent = {name: phase.spent_ns * _S for name, phase in self._phases.items()}
        row = {f"performance/step/{name}_s": spent_s / steps for name, spent_s in spent.items()}
        if spent:
            row["performance/step/other_s"] = max(0.0, wall_s - sum(spent.values())) / steps
        return row

    def _begin_again(self) -> None:
        self._began = self._clock()
        self._steps_since = self._micro_since = 0
        self._samples_since = self._tokens_since = 0
        for phase in self._phases.values():
            phase.spent_ns = 0


class _Phase:
    """Adds up the time between entering and leaving."""

    __slots__ = ("_clock", "_entered", "spent_ns")

    def __init__(self, clock: Callable[[], int]) -> None:
        self.spent_ns = 0
        self._clock = clock
        self._entered = 0

    def __enter__(self) -> None:
        self._entered = self._clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.spent_ns += self._clock() - self._entered
