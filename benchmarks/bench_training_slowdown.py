"""How much longer does a training step of about 1 ms take when 20 metrics are tracked at every step?

Four processes train the same small network on one thread: untracked, untracked again (their difference is the
noise), tracked (daemon with its sinks running), and with torch's SummaryWriter. One at a time does a block of
steps while the others sleep, in turns; after each block there is a pause, in which the daemon delivers what
is left, so that its work never falls on the next in turn. The ratio is taken round by round.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack

from benchmarks.harness import Plan, main
from benchmarks.homes import running_daemon, start_workload
from benchmarks.results import Goal, Report
from benchmarks.stats import turns

QUESTION = "How much longer does a step of 1 ms take when 20 metrics are tracked?"
PLAIN, AGAIN, OURS, WRITER = "untracked", "untracked again", "exptrack", "SummaryWriter"
TRACKERS = (PLAIN, OURS, AGAIN, WRITER)
STEP_MS = 1.0
_FIRST_WIDTH = 128

GOALS = [
    Goal(
        measure=f"{OURS} against untracked, wall time of a step",
        at_most=1.02,
        later=1.01,
        baseline=f"{AGAIN} against untracked, wall time of a step",
    )
]


class Loop:
    """A training process that does steps when told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def steps(self, count: int) -> dict[str, float]:
        """Do so many steps; returns the seconds that one took, by wall and by CPU time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        took = json.loads(self._process.stdout.readline())
        return {name: seconds / count for name, seconds in took.items()}

    def end(self) -> None:
        try:
            self._process.communicate("\n", timeout=30)
        finally:
            self._process.kill()


def run(plan: Plan, report: Report) -> None:
    rounds, steps, pause_s = plan.pick(20, 3), plan.pick(800, 400), plan.pick(0.3, 0.2)
    width = width_for(STEP_MS / 1_000)
    with ExitStack() as stack:
        home = stack.enter_context(running_daemon()).home
        loops = {}
        for tracker in TRACKERS:
            loops[tracker] = Loop(start_workload("step_loop", home, tracker=tracker, width=width))
            stack.callback(loops[tracker].end)
        for loop in loops.values():
            loop.steps(100)
        took: dict[str, list[dict[str, float]]] = {tracker: [] for tracker in TRACKERS}
        for number, tracker in turns(TRACKERS, rounds):
            plan.say(f"round {number + 1} of {rounds}: {tracker}")
            took[tracker].append(loops[tracker].steps(steps))
            time.sleep(pause_s)
    note(report, took)
    report.notes.append(f"layers of {width}; {rounds} rounds of {steps} steps")


def width_for(step_s: float) -> int:
    """The width of the layers with which an untracked step takes about so long on this machine."""
    width = _FIRST_WIDTH
    for _ in range(2):
        loop = Loop(start_workload("step_loop", tracker=PLAIN, width=width))
        try:
            loop.steps(50)
            found_s = loop.steps(200)["cpu_s"]  # load from elsewhere lengthens the wall time
        finally:
            loop.end()
        if 0.8 * step_s < found_s < 1.25 * step_s:
            break
        width = max(16, min(1024, round(width * (step_s / found_s) ** 0.5 / 16) * 16))
    return width


def note(report: Report, took: dict[str, list[dict[str, float]]]) -> None:
    for tracker, blocks in took.items():
        for block in blocks:
            report.add(f"{tracker}, a step", "ms", block["wall_s"] * 1_000)
    for tracker in (OURS, AGAIN, WRITER):
        for plain, block in zip(took[PLAIN], took[tracker], strict=True):
            wall, cpu = (block[name] / plain[name] for name in ("wall_s", "cpu_s"))
            report.add(f"{tracker} against untracked, wall time of a step", "×", wall)
            report.add(f"{tracker} against untracked, CPU time of the trainer", "×", cpu)


if __name__ == "__main__":
    main(__file__)
