"""What does a million points cost in CPU seconds, all processes together, and how does that grow?

A trainer logs rows of 20 metrics; what counts is its own CPU time, less that of the same loop without
logging, and that of all processes of the daemon until both sinks (TensorBoard, catalogue) are done. Every
size gets a fresh daemon. Growth is the k of cost ~ points ** k over all sizes; a line through the same
points tells the fixed part from the part by point. Set against the same rows through torch's SummaryWriter.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, cpu_s, run_workload, running_daemon, wait_until
from benchmarks.results import Goal, Report
from benchmarks.stats import growth_exponent, line_fit, turns
from exptrack_daemon.store import open_home

QUESTION = "What do a million points cost, all processes together?"
SIZES, QUICK_SIZES = (100_000, 300_000, 1_000_000, 3_000_000), (100_000, 300_000)
WRITER_POINTS = 20_000
COST = "exptrack, all processes, by point"
WRITER = "SummaryWriter"
GROWTH = "growth exponent of the cost with points"
GOALS = [
    Goal(measure=COST, at_most=5, baseline=WRITER),
    Goal(measure=GROWTH, at_most=1.05),
]


def run(plan: Plan, report: Report) -> None:
    sizes, repeats = plan.pick(SIZES, QUICK_SIZES), plan.pick(2, 1)
    for repeat in range(repeats):
        bare = run_workload("points", tracker="none", points=300_000)["cpu_s"] / 300_000
        costs: dict[int, float] = {}
        for _, size in turns(sizes[: (repeat and 3) or len(sizes)], 1):
            plan.say(f"{size:,} points, repeat {repeat + 1} of {repeats}")
            costs[size] = note(report, size, bare)
        note_growth(report, costs)
        writer = run_workload("points", tracker=WRITER, points=WRITER_POINTS)
        report.add(WRITER, "CPU µs/point", (writer["cpu_s"] / WRITER_POINTS - bare) * 1e6)


def note(report: Report, size: int, bare_s: float) -> float:
    """Measure one size; returns the CPU seconds of all processes."""
    with running_daemon() as daemon:
        before = by_worker(daemon)
        trainer = run_workload("points", daemon.home, tracker="exptrack", points=size)
        wait_until(lambda: sinks_are_done(daemon), 120, "both sinks are done")
        used = {name: cpu - before.get(name, 0.0) for name, cpu in by_worker(daemon).items()}
    used["trainer"] = trainer["cpu_s"] + trainer["begin_cpu_s"] - bare_s * size
    total = sum(used.values())
    report.add(f"{COST}, {size / 1e6:g} M points", "CPU µs/point", total / size * 1e6)
    report.add(f"all processes, {size / 1e6:g} M points", "CPU s", total)
    if size >= 300_000:
        report.add(COST, "CPU µs/point", total / size * 1e6)
        for name, cpu in used.items():
            report.add(f"of that {name}", "CPU µs/point", cpu / size * 1e6)
    return total


def by_worker(daemon: Daemon) -> dict[str, float]:
    from benchmarks.bench_sampler import worker_name

    return {worker_name(member.cmdline()): cpu_s(member) for member in daemon.family()}


def sinks_are_done(daemon: Daemon) -> bool:
    home = open_home(daemon.home.path)
    states: list[Any] = home.sink_states(home.view("points"))
    return len(states) == 2 and all(state.status == "done" for state in states)


def note_growth(report: Report, costs: dict[int, float]) -> None:
    sizes, seconds = list(costs), list(costs.values())
    report.add(GROWTH, "exponent", growth_exponent(sizes, seconds))
    fixed, each = line_fit(sizes, seconds)
    report.add("fixed part", "CPU s", fixed)
    report.add("part by point", "CPU µs/point", each * 1e6)


if __name__ == "__main__":
    main(__file__)
