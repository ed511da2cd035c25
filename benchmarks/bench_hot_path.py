"""What does one `run.log` call cost the training thread, whatever the daemon does?

Single calls are timed in blocks that take turns, in one process a repeat: rows of several shapes, and
what they are set against; among these a loop in plain Python that takes about as long as a call, for what
the scheduler does to anybody. Four states: the daemon running with its sinks, none, frozen (SIGSTOP to all
of its processes once the run is known), and running on a disk that is full (a tmpfs, filled once the run is
known; only root can mount one). The timer's own cost is in every number.

- turns: blocks of calls, back to back within a block;
- paced: one call in 100 µs with Python code between them, as in a step that is bound by the host;
- steady: a million calls, one in 20 µs, for the worst of them (a full pass; the first repeat only);
- burst: all calls back to back, faster than any training and than two cores can carry away.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Plan, main
from benchmarks.homes import run_workload, running_daemon, small_disk, temporary_home
from benchmarks.results import Goal, Report

QUESTION = "What does one run.log call cost the training thread?"
STATES = {
    "running": "daemon running",
    "none": "daemon none",
    "frozen": "daemon frozen",
    "full": "disk full",
}
TEN = "10 floats"
_DISK_MIB = 48


def goals_of(state: str) -> list[Goal]:
    where = STATES[state]
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
        Goal(
            measure=f"{TEN}, steady, {where}: max",
            at_most=1_000,
            worst_counts=True,
            baseline=f"empty function, steady, {where}: max",
        ),
    ]


GOALS = [goal for state in STATES for goal in goals_of(state)]


def run(plan: Plan, report: Report) -> None:
    rounds, repeats = plan.pick(100, 10), plan.pick(3, 1)
    for repeat in range(repeats):
        for state, where in STATES.items():
            plan.say(f"{where}, repeat {repeat + 1} of {repeats}")
            steady_calls = plan.pick(1_000_000, 20_000) if repeat == 0 else 0
            try:
                found = measured(state, rounds, steady_calls)
            except PermissionError as error:
                report.notes.append(
                    f"{where}: not measured, no small disk can be mounted ({error})"
                )
                continue
            note(report, state, found)


def measured(state: str, rounds: int, steady_calls: int) -> dict[str, Any]:
    options = {"rounds": rounds, "paced_calls": 200 * rounds, "steady_calls": steady_calls}
    if state == "none":
        with temporary_home() as home:
            return run_workload("hot_path", home, **options)
    if state == "full":
        with small_disk(_DISK_MIB) as disk, running_daemon(parent=disk) as daemon:
            return run_workload("hot_path", daemon.home, **options, fill=str(disk / "filler"))
    with running_daemon() as daemon:
        frozen = [member.pid for member in daemon.family()] if state == "frozen" else []
        return run_workload("hot_path", daemon.home, **options, frozen=frozen)


def note(report: Report, state: str, found: dict[str, Any]) -> None:
    for name, cost in found["costs"].items():
        what = f"{name}, {STATES[state]}"
        for share in ("p50", "p90", "p99", "p99.9", "max"):
            report.add(f"{what}: {share}", "µs", cost[share])
        if cost["calls"] >= 10_000:
            slow = cost["slow"] * 100_000 / cost["calls"]
            report.add(f"{what}: >1 ms", "in 100,000 calls", slow)
    if found["dropped"]:
        report.notes.append(
            f"{STATES[state]}: {found['dropped']} rows dropped, and counted as such"
        )


if __name__ == "__main__":
    main(__file__)
