"""What does watching the machine cost, in CPU seconds an hour?

A trainer has begun a run and logs nothing; what the daemon's processes use over some seconds is scaled to an
hour. Set against the same daemon without any run (nothing is sampled then). The sampler looks every 2 s; for
what one sample costs it is also run at 0.2 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, cpu_s, running_daemon, start_workload
from benchmarks.results import Goal, Report

QUESTION = "What does watching the machine cost?"
SAMPLER, ALL = "sampler, one run", "whole daemon, one run that logs nothing"
IDLE = "whole daemon, no run"
FAST_S = 0.2
GOALS = [
    Goal(measure=SAMPLER, at_most=36, baseline="sampler, no run"),
    Goal(measure=ALL, at_most=72, baseline=IDLE),
]


def run(plan: Plan, report: Report) -> None:
    repeats, seconds = plan.pick(2, 1), plan.pick(8.0, 3.0)
    for repeat in range(repeats):
        plan.say(f"repeat {repeat + 1} of {repeats}")
        with running_daemon() as daemon:
            time.sleep(1.0)
            note_hourly(report, daemon, "no run", seconds)
            with idle_trainer(daemon):
                note_hourly(report, daemon, "one run", seconds)
        with running_daemon(f"[sampler]\nevery_s = {FAST_S}\n") as daemon, idle_trainer(daemon):
            used = used_cpu_s(daemon, seconds)
            report.add("one sample", "ms", used["sampler"] / (seconds / FAST_S) * 1_000)


def note_hourly(report: Report, daemon: Daemon, what: str, seconds: float) -> None:
    used = used_cpu_s(daemon, seconds)
    for name, cpu in used.items():
        report.add(f"{name}, {what}", "CPU s/hour", cpu * 3_600 / seconds)
    report.add(
        ALL if what == "one run" else IDLE, "CPU s/hour", sum(used.values()) * 3_600 / seconds
    )


def used_cpu_s(daemon: Daemon, seconds: float) -> dict[str, float]:
    """CPU seconds of each process of the daemon, by what it is, while we sleep."""
    before = {member.pid: cpu_s(member) for member in daemon.family()}
    time.sleep(seconds)
    return {
        worker_name(member.cmdline()): cpu_s(member) - before.get(member.pid, 0.0)
        for member in daemon.family()
    }


def worker_name(command: list[str]) -> str:
    """Such as `intake`, `sampler`, `sink tensorboard`."""
    module = next(part for part in command if part.startswith("exptrack_daemon"))
    name = module.rpartition(".")[2]
    return f"sink {command[-1]}" if name == "delivery" else name


@contextmanager
def idle_trainer(daemon: Daemon) -> Iterator[None]:
    process = start_workload("idle_trainer", daemon.home)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready True\n":
            raise RuntimeError("the trainer's run did not begin")
        time.sleep(2.5)  # the sampler has seen it
        yield
    finally:
        process.communicate(timeout=30)


if __name__ == "__main__":
    main(__file__)
