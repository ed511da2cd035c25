"""What does a million points cost in CPU seconds, all processes together, and how does that grow?

A trainer logs rows of 20 metrics; what counts is its own CPU time, less that of the same loop without
logging, and that of all processes of the daemon until all sinks (TensorBoard, store, catalogue) are done.
Every size gets a fresh daemon. Growth is the k of cost ~ points ** k over all sizes; a line through the same
points tells the fixed part from the part by point. In the same way with the metrics of a row (rows stay as
many) and with the runs (each as long), one after another on one daemon. Set against the same rows through
torch's SummaryWriter.
"""

from __future__ import annotations

from collections.abc import Sequence

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
WITH_METRICS, WITH_RUNS = (
    f"growth exponent of the cost with {what}" for what in ("metrics", "runs")
)
ROWS, METRICS, QUICK_METRICS = 2_000, (20, 100, 500, 2_000), (20, 200)
RUNS, QUICK_RUNS, POINTS_OF_A_RUN = (1, 4, 16), (1, 3), 50_000
GOALS = [
    Goal(measure=COST, at_most=5, baseline=WRITER),
    Goal(measure=GROWTH, at_most=1.05),
    Goal(measure=WITH_METRICS, at_most=1.05),
    Goal(measure=WITH_RUNS, at_most=1.05),
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
        plan.say(f"more metrics and more runs, repeat {repeat + 1} of {repeats}")
        note_shapes(report, plan.pick(METRICS, QUICK_METRICS), plan.pick(RUNS, QUICK_RUNS))
        writer = run_workload("points", tracker=WRITER, points=WRITER_POINTS)
        report.add(WRITER, "CPU µs/point", (writer["cpu_s"] / WRITER_POINTS - bare) * 1e6)


def note(report: Report, size: int, bare_s: float) -> float:
    """Measure one size; returns the CPU seconds of all processes."""
    used = used_cpu_s(size)
    used["trainer"] -= bare_s * size
    total = sum(used.values())
    report.add(f"{COST}, {size / 1e6:g} M points", "CPU µs/point", total / size * 1e6)
    report.add(f"all processes, with points = {size:,}", "CPU s", total)
    if size >= 300_000:
        report.add(COST, "CPU µs/point", total / size * 1e6)
        for name, cpu in used.items():
            report.add(f"of that {name}", "CPU µs/point", cpu / size * 1e6)
    return total


def used_cpu_s(points: int, metrics: int = 20, runs: int = 1) -> dict[str, float]:
    """CPU seconds of the daemon's processes and the trainers, until all sinks are done."""
    with running_daemon() as daemon:
        before, trainers = by_worker(daemon), 0.0
        names = ["points", *(f"points-{number}" for number in range(1, runs))]
        for name in names:
            options = {"tracker": "exptrack", "points": points, "metrics": metrics}
            told = run_workload("points", daemon.home, run_id=name, **options)
            trainers += told["cpu_s"] + told["begin_cpu_s"]
        wait_until(lambda: sinks_are_done(daemon, names), 120, "all sinks are done")
        used = {name: cpu - before.get(name, 0.0) for name, cpu in by_worker(daemon).items()}
    return {**used, "trainer": trainers}


def note_shapes(report: Report, widths: Sequence[int], counts: Sequence[int]) -> None:
    """How the cost grows with the metrics of a row, and with the number of runs."""
    for what, exponent, sizes in (("metrics", WITH_METRICS, widths), ("runs", WITH_RUNS, counts)):
        costs = []
        for size in sizes:
            if what == "metrics":
                used = used_cpu_s(ROWS * size, metrics=size)
            else:
                used = used_cpu_s(POINTS_OF_A_RUN, runs=size)
            costs.append(sum(used.values()))
            report.add(f"all processes, with {what} = {size:,}", "CPU s", costs[-1])
        report.add(exponent, "exponent", growth_exponent(sizes, costs))


def by_worker(daemon: Daemon) -> dict[str, float]:
    from benchmarks.bench_sampler import worker_name

    return {worker_name(member.cmdline()): cpu_s(member) for member in daemon.family()}


def sinks_are_done(daemon: Daemon, run_ids: Sequence[str]) -> bool:
    home = open_home(daemon.home.path)
    states = [state for name in run_ids for state in home.sink_states(home.view(name))]
    return len(states) >= 2 * len(run_ids) and all(state.status == "done" for state in states)


def note_growth(report: Report, costs: dict[int, float]) -> None:
    sizes, seconds = list(costs), list(costs.values())
    report.add(GROWTH, "exponent", growth_exponent(sizes, seconds))
    fixed, each = line_fit(sizes, seconds)
    report.add("fixed part", "CPU s", fixed)
    report.add("part by point", "CPU µs/point", each * 1e6)


if __name__ == "__main__":
    main(__file__)
