"""The step timer, by a clock that the test turns."""

from __future__ import annotations

import time
from typing import Any

import pytest

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.throughput import StepTimer
from tests.unit.torch.recording_run import RecordingRun

S = 1_000_000_000


class HandClock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * S)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def timer_of(run: Any, clock: HandClock, **options: Any) -> StepTimer:
    return StepTimer(run, clock=clock, **({"world": 1} | options))


def test_a_step_is_split_into_its_phases(run: RecordingRun, clock: HandClock):
    timer = timer_of(run, clock, samples=8)

    def batches():
        for number in range(2):
            clock.pass_s(0.5)
            yield number

    for step, _ in enumerate(timer.loader(batches())):
        with timer.phase("forward"):
            clock.pass_s(1)
        with timer.phase("backward"):
            clock.pass_s(2)
        clock.pass_s(0.5)
        timer.step(step)
    assert [step for step, _ in run.rows] == [0, 1]
    assert run.rows[1][1] == pytest.approx(
        {
            "performance/step_s": 4.0,
            "performance/micro_steps": 1,
            "performance/samples_per_second": 2.0,
            "performance/effective_batch": 8,
            "performance/step/data_s": 0.5,
            "performance/step/forward_s": 1.0,
            "performance/step/backward_s": 2.0,
            "performance/step/other_s": 0.5,
        }
    )


def test_the_effective_batch_is_that_of_all_ranks_and_micro_steps(
    run: RecordingRun, clock: HandClock
):
    timer = timer_of(run, clock, samples=4, tokens=400, accumulation=3, world=2)
    due = []
    for _ in range(3):
        clock.pass_s(1)
        due.append(timer.micro_step())
    timer.step()
    assert due == [False, False, True]
    ((step, row),) = run.rows
    assert step == 0
    assert row["performance/effective_batch"] == 4 * 3 * 2
    assert row["performance/micro_steps"] == 3
    assert row["performance/samples_per_second"] == pytest.approx(8)
    assert row["performance/tokens_per_second"] == pytest.approx(800)


def test_batches_of_their_own_size_count_as_they_are(run: RecordingRun, clock: HandClock):
    timer = timer_of(run, clock, samples=32)
    clock.pass_s(2)
    timer.micro_step(samples=10)
    timer.step()
    assert run.rows[0][1]["performance/samples_per_second"] == pytest.approx(5)


def test_every_few_steps_the_means_are_recorded(run: RecordingRun, clock: HandClock):
    timer = timer_of(run, clock, samples=1, every=3)
    for seconds in (1, 2, 3, 10):
        with timer.phase("forward"):
            clock.pass_s(seconds)
        timer.step()
    ((step, row),) = run.rows
    assert step == 2
    assert row["performance/step_s"] == row["performance/step/forward_s"] == pytest.approx(2)


def test_utilisation_needs_both_numbers(run: RecordingRun, clock: HandClock):
    timer = timer_of(run, clock, samples=10, flops_per_sample=6e9, peak_flops=100e9)
    clock.pass_s(2)
    timer.step()
    assert run.rows[0][1]["performance/mfu"] == pytest.approx(0.3)


def test_an_exception_in_a_phase_is_timed_and_goes_on(run: RecordingRun, clock: HandClock):
    timer = timer_of(run, clock)

    def fail() -> None:
        clock.pass_s(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), timer.phase("forward"):
        fail()
    timer.step()
    assert run.rows[0][1]["performance/step/forward_s"] == pytest.approx(1)


def test_arguments_without_meaning_are_refused(run: RecordingRun):
    with pytest.raises(Misuse):
        StepTimer(run, accumulation=0)


def test_a_phase_costs_next_to_nothing(run: RecordingRun):
    timer = StepTimer(run, world=1)
    best_s = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1_000):
            with timer.phase("forward"):
                pass
        best_s = min(best_s, (time.perf_counter() - began) / 1_000)
    assert best_s < 5e-6
