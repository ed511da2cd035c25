"""What does the tracker's step cost, against `run.log` of the same ten values; and a picture of many steps?

The step's calls take turns in blocks of 200 with the daemon running; the timer is in every number. The ratio
is of the medians of one repeat. The picture is drawn from cells of ten million points, made up beforehand.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from benchmarks.harness import Plan, main
from benchmarks.homes import run_workload, running_daemon
from benchmarks.results import Goal, Report
from exptrack_daemon.plots.curves import CELLS, Curve, of_cells
from exptrack_daemon.plots.look import file_of, styled
from exptrack_daemon.plots.names import TRAINING_METRICS
from exptrack_daemon.plots.options import Options
from exptrack_daemon.plots.reading import as_steps
from exptrack_daemon.plots.training import Training, draw
from exptrack_daemon.store.series import Series, cells_of, width_for

QUESTION = "What does the tracker's step cost?"
STEP, PLAIN, RATIO = "log_training_step: p50", "run.log: p50", "log_training_step against run.log"
GOALS = [
    Goal(measure=STEP, at_most=5, later=3, baseline=PLAIN),
    Goal(measure=RATIO, at_most=1.5, later=1.25, baseline=PLAIN),
]


def run(plan: Plan, report: Report) -> None:
    rounds, repeats = plan.pick(150, 30), plan.pick(3, 1)
    for repeat in range(repeats):
        plan.say(f"steps, repeat {repeat + 1} of {repeats}")
        with running_daemon() as daemon:
            found = run_workload("tracker_step", daemon.home, rounds=rounds)
        for name, cost in found.items():
            for share, cost_us in cost.items():
                report.add(f"{name}: {share}", "µs", cost_us)
        report.add(RATIO, "×", found["log_training_step"]["p50"] / found["run.log"]["p50"])
    picture(plan, report, plan.pick(10_000_000, 500_000))


def picture(plan: Plan, report: Report, points: int) -> None:
    plan.say(f"a picture of {points:,} steps")
    random = np.random.default_rng(0)
    steps = np.arange(points)
    series = [
        Series("x", 0, steps, steps, random.standard_normal(points)) for _ in TRAINING_METRICS
    ]
    began = time.perf_counter()
    lines = {
        key: (names[0], thinned(one))
        for one, (key, names) in zip(series, TRAINING_METRICS.items(), strict=True)
    }
    thinned_at = time.perf_counter()
    with styled("light") as look:
        data = Training("bench / picture", f"{points:,} steps", lines)
        file_of(draw(data, look, Options()), "png", 110)
    report.add(f"thinning 5 × {points:,} points", "s", thinned_at - began)
    report.add("drawing", "s", time.perf_counter() - thinned_at)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.add("peak memory of it all", "MiB", peak_kib / 1024)


def thinned(series: Series) -> Curve:
    lo, hi = 0, len(series) - 1
    cells = cells_of(series, axis="step", lo=lo, hi=hi, width=width_for(lo, hi, CELLS))
    return of_cells(cells, lo, hi, as_steps)


if __name__ == "__main__":
    main(__file__)
