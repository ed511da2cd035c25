"""How much longer does a training step take when its metrics are tracked at every step?

Processes train the same small network on one thread: untracked, untracked again (their difference is the
noise), tracked (daemon with its sinks running), and in the first case with torch's SummaryWriter. One at a
time does a block of steps while the others sleep, in turns; after each block there is a pause, in which the
daemon delivers what is left, so that its work never falls on the next in turn. A block of a tracker is set
against the mean of the two untracked ones of its round.

Cases: 1 and 10 ms a step with 20 and 500 metrics; with a DataLoader of two worker processes; four trainers at
once on one daemon (on two cores they also wait for each other, tracked or not). In the first case also the
CPU time of each process of the daemon by step: it is what a neighbour on the same core would feel.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.bench_sampler import worker_name
from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, cpu_s, running_daemon, start_workload
from benchmarks.results import Goal, Report
from benchmarks.stats import turns

QUESTION = "How much longer does a step take when its metrics are tracked?"
PLAIN, AGAIN, OURS, WRITER = "untracked", "untracked again", "exptrack", "SummaryWriter"
_FIRST_WIDTH = 128


class Case(NamedTuple):
    """A kind of training."""

    name: str
    step_ms: float
    metrics: int
    workers: int = 0
    trainers: int = 1
    trackers: tuple[str, ...] = (PLAIN, OURS, AGAIN)

    def measure(self, tracker: str) -> str:
        return f"{self.name}: {tracker} against untracked, wall time of a step"


CASES = (
    Case("1 ms, 20 metrics", 1, 20, trackers=(PLAIN, OURS, AGAIN, WRITER)),
    Case("1 ms, 500 metrics", 1, 500),
    Case("10 ms, 20 metrics", 10, 20),
    Case("10 ms, 500 metrics", 10, 500),
    Case("1 ms, 20 metrics, DataLoader", 1, 20, workers=2),
    Case("1 ms, 20 metrics, 4 trainers", 1, 20, trainers=4),
)
PARTS = tuple(case.name for case in CASES)
_QUICK = (CASES[0], CASES[4])

GOALS = [
    Goal(
        measure=CASES[0].measure(OURS),
        at_most=1.02,
        later=1.01,
        baseline=CASES[0].measure(AGAIN),
    ),
    Goal(measure=CASES[2].measure(OURS), at_most=1.01, baseline=CASES[2].measure(AGAIN)),
]


class Loop:
    """A training process that does steps when told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, count: int) -> None:
        """Tell it to do so many steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def took(self, count: int) -> dict[str, float]:
        """The seconds that one of these steps took, by wall and by CPU time."""
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        return {name: seconds / count for name, seconds in answer.items()}

    def steps(self, count: int) -> dict[str, float]:
        self.begin(count)
        return self.took(count)

    def end(self) -> None:
        try:
            self._process.communicate("\n", timeout=30)
        finally:
            self._process.kill()


class Crew:
    """Trainers of one kind that do their blocks at the same time."""

    def __init__(self, loops: list[Loop]) -> None:
        self._loops = loops

    def steps(self, count: int) -> dict[str, float]:
        """Their mean."""
        for loop in self._loops:
            loop.begin(count)
        took = [loop.took(count) for loop in self._loops]
        return {name: sum(each[name] for each in took) / len(took) for name in took[0]}


def run(plan: Plan, report: Report) -> None:
    widths: dict[float, int] = {}
    for case in CASES if plan.only else plan.pick(CASES, _QUICK):
        if not plan.wants(case.name):
            continue
        if case.step_ms not in widths:
            plan.say(f"finding the size of network that takes {case.step_ms:g} ms")
            widths[case.step_ms] = width_for(case.step_ms / 1_000)
        report.notes.append(f"{case.name}: layers of {widths[case.step_ms]}")
        with running_daemon() as daemon, ExitStack() as stack:
            crews = crews_of(case, widths[case.step_ms], daemon, stack)
            measure(plan, report, case, crews, daemon)


def crews_of(case: Case, width: int, daemon: Daemon, stack: ExitStack) -> dict[str, Crew]:
    crews = {}
    for tracker in case.trackers:
        loops = []
        for _ in range(case.trainers):
            options = {"width": width, "metrics": case.metrics, "workers": case.workers}
            loops.append(Loop(start_workload("step_loop", daemon.home, tracker=tracker, **options)))
            stack.callback(loops[-1].end)
        crews[tracker] = Crew(loops)
    for crew in crews.values():
        crew.steps(max(10, round(100 / case.step_ms)))
    return crews


def measure(plan: Plan, report: Report, case: Case, crews: dict[str, Crew], daemon: Daemon) -> None:
    rounds, pause_s = plan.pick(20 if case is CASES[0] else 10, 2), plan.pick(0.6, 0.2)
    steps = round(plan.pick(800, 150) / case.step_ms)
    took: dict[str, list[dict[str, float]]] = {tracker: [] for tracker in crews}
    for number, tracker in turns(list(crews), rounds):
        plan.say(f"{case.name}, round {number + 1} of {rounds}: {tracker}")
        before = cpu_by_worker(daemon)
        took[tracker].append(crews[tracker].steps(steps))
        time.sleep(pause_s)
        if tracker == OURS and case is CASES[0]:
            for name, cpu in cpu_by_worker(daemon).items():
                used = (cpu - before.get(name, 0.0)) / steps
                report.add(f"CPU of the daemon by step: {name}", "µs", used * 1e6)
    note(report, case, took)


def cpu_by_worker(daemon: Daemon) -> dict[str, float]:
    return {worker_name(member.cmdline()): cpu_s(member) for member in daemon.family()}


def width_for(step_s: float) -> int:
    """The width of the layers with which an untracked step takes about so long on this machine."""
    width = _FIRST_WIDTH
    for _ in range(3):
        loop = Loop(start_workload("step_loop", tracker=PLAIN, width=width))
        try:
            loop.steps(20)
            found_s = loop.steps(50)["cpu_s"]  # load from elsewhere lengthens the wall time
        finally:
            loop.end()
        if 0.8 * step_s < found_s < 1.25 * step_s:
            break
        width = max(16, min(2_048, round(width * (step_s / found_s) ** 0.5 / 16) * 16))
    return width


def note(report: Report, case: Case, took: dict[str, list[dict[str, float]]]) -> None:
    for tracker, blocks in took.items():
        for block in blocks:
            report.add(f"{case.name}: {tracker}, a step", "ms", block["wall_s"] * 1_000)
    for tracker in (name for name in took if name != PLAIN):
        other = AGAIN if tracker != AGAIN else PLAIN
        for plain, again, block in zip(took[PLAIN], took[other], took[tracker], strict=True):
            for kind, what in (
                ("wall_s", "wall time of a step"),
                ("cpu_s", "CPU time of the trainer"),
            ):
                ratio = block[kind] / ((plain[kind] + again[kind]) / 2)
                report.add(f"{case.name}: {tracker} against untracked, {what}", "×", ratio)


if __name__ == "__main__":
    main(__file__)
