"""What does one `run.log` call cost the training thread, whatever the daemon does?

Single calls are timed in blocks that take turns, in one process a repeat: rows of several shapes, and
what they are set against; among these a loop in plain Python that takes about as long as a call, for what
the scheduler does to anybody. Three states of the daemon: running with its sinks, none, and frozen
(SIGSTOP to all of its processes once the run is known). The timer's own cost is in every number.

- turns: blocks of calls, back to back within a block;
- paced: one call in 100 µs with Python code between them, as in a step that is bound by the host;
- burst: all calls back to back, faster than any training and than two cores can carry away.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Plan, main
from benchmarks.homes import run_workload, running_daemon, temporary_home
from benchmarks.results import Goal, Report

QUESTION = "What does one run.log call cost the training thread?"
STATES = ("running", "none", "frozen")
TEN = "10 floats"


def goals_of(state: str) -> list[Goal]:
    where = f"daemon {state}"
    return [
        Goal(
            measure=f"{TEN}, {where}: p50",
            at_most=2.5,
            later=1.8,
            baseline=f"msgpack.packb, {where}: p50",
        ),
        Goal(
            measure=f"{TEN}, {where}: p99",
            at_most=12,
            later=5,
            baseline=f"msgpack.packb, {where}: p99",
        ),
        Goal(
            measure=f"{TEN}, {where}: >1 ms",
            at_most=0,
            worst_counts=True,
            baseline=f"loop as long, {where}: >1 ms",
        ),
    ]


GOALS = [goal for state in STATES for goal in goals_of(state)]


def run(plan: Plan, report: Report) -> None:
    rounds, repeats = plan.pick(100, 15), plan.pick(3, 1)
    for repeat in range(repeats):
        for state in STATES:
            plan.say(f"daemon {state}, repeat {repeat + 1} of {repeats}")
            note(report, state, measured(state, rounds, 200 * rounds))


def measured(state: str, rounds: int, paced_calls: int) -> dict[str, Any]:
    options = {"state": state, "rounds": rounds, "paced_calls": paced_calls}
    if state == "none":
        with temporary_home() as home:
            return run_workload("hot_path", home, **options, pids=[])
    with running_daemon() as daemon:
        pids = [member.pid for member in daemon.family()]
        return run_workload("hot_path", daemon.home, **options, pids=pids)


def note(report: Report, state: str, found: dict[str, Any]) -> None:
    for name, cost in found["costs"].items():
        what = f"{name}, daemon {state}"
        for share in ("p50", "p90", "p99", "p99.9", "max"):
            report.add(f"{what}: {share}", "µs", cost[share])
        if cost["calls"] >= 10_000:
            slow = cost["slow"] * 100_000 / cost["calls"]
            report.add(f"{what}: >1 ms", "in 100,000 calls", slow)
    if found["dropped"]:
        report.notes.append(f"daemon {state}: {found['dropped']} rows dropped, and counted as such")


if __name__ == "__main__":
    main(__file__)
