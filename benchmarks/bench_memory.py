"""How much memory does tracking add to a training process?

The same loop with and without tracking, in turns, each in a fresh process: resident memory (RSS) after
`init` and, at most, under load (50,000 points/s). What is added is taken pair by pair; shared memory is the
black box, the rest is code and data of the agent and ZeroMQ.
"""

from __future__ import annotations

from benchmarks.harness import Plan, main
from benchmarks.homes import run_workload, running_daemon
from benchmarks.results import Goal, Report
from benchmarks.stats import turns

QUESTION = "How much memory does tracking add to a training process?"
WHEN = ("after init", "under load")
KINDS = ("rss", "shared memory", "anonymous")
GOALS = [
    Goal(measure=f"added {when}, rss", at_most=20, baseline=f"untracked {when}, rss")
    for when in WHEN
]


def run(plan: Plan, report: Report) -> None:
    rounds, seconds = plan.pick(4, 1), plan.pick(3.0, 1.5)
    with running_daemon() as daemon:
        for number, tracked in turns([False, True], rounds):
            plan.say(f"{'tracked' if tracked else 'untracked'}, round {number + 1} of {rounds}")
            options = {"is_tracked": tracked, "seconds": seconds, "points_per_s": 50_000}
            found = run_workload("memory", daemon.home, **options)
            for when in WHEN:
                for kind in KINDS:
                    who = "tracked" if tracked else "untracked"
                    report.add(f"{who} {when}, {kind}", "MB", found[when][kind])
    note_added(report)


def note_added(report: Report) -> None:
    for when in WHEN:
        for kind in KINDS:
            tracked, plain = (
                report.measures[f"{who} {when}, {kind}"].values for who in ("tracked", "untracked")
            )
            for more, less in zip(tracked, plain, strict=True):
                report.add(f"added {when}, {kind}", "MB", more - less)


if __name__ == "__main__":
    main(__file__)
