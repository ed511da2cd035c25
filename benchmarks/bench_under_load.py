"""How much do daemon and disk keep up with, how late are rows then, and what happens beyond?

1, 8 and 64 trainers (in up to four processes) log rows of ten metrics at a steady rate together; the daemon
runs with its sinks. Of each row: from the return of `log()` to the moment when its courier heard that it is
durable. Beside them a probe logs one value four times a second, and this process looks where it shows up:
in the TensorBoard file, and in what `exptrack export` would read. Set against the same with hardly any load.

Flat out: all log as fast as `log()` returns, which is far more than can be carried away. Counted is what is
dropped (never silently: the run's ledger has it), how much stood in spools, the most memory of the daemon,
and how long after the last `log()` all of it was durable, and delivered to all sinks.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.bench_ack_latency import FLOOR, note_floor
from benchmarks.bench_intake import peak_mb
from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, running_daemon, start_workload
from benchmarks.results import Goal, Report
from benchmarks.stats import quantile
from exptrack_daemon.store import open_home

QUESTION = "How much does it keep up with, how late are rows then, and what happens beyond?"
AGENTS, QUICK_AGENTS = (1, 8, 64), (8,)
RATES, QUICK_RATES = (20_000, 50_000, 100_000, 200_000, 500_000), (50_000,)
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
PROBE, CALM = "probe", "hardly any load"
_KEEPS_UP = 0.95
_LATE_MS = 1_000
_CATCH_UP_S = 180.0

GOALS = [
    Goal(
        measure="1 agents, 50,000 points/s: p99",
        at_most=100,
        later=50,
        baseline=f"{FLOOR}: p99",
    ),
    Goal(measure="8 agents, 50,000 points/s: p99", at_most=100, baseline=f"{FLOOR}: p99"),
    Goal(
        measure="flat out, memory of the daemon, at most",
        at_most=800,
        worst_counts=True,
        baseline=f"{CALM}, memory of the daemon, at most",
    ),
]


def run(plan: Plan, report: Report) -> None:
    for repeat in range(plan.pick(2, 1)):
        for agents in plan.pick(AGENTS, QUICK_AGENTS):
            with running_daemon() as daemon:
                calm(plan, report, daemon)
                best = 0.0
                for rate in plan.pick(RATES, QUICK_RATES):
                    plan.say(f"{agents} agents, {rate:,} points/s, repeat {repeat + 1}")
                    best = max(best, steady(report, daemon, agents, rate, plan.pick(4.0, 1.5)))
                report.add(f"{agents} agents: keeps up with, at least", "points/s", best)
                note_floor(report, daemon.home.path)
            plan.say(f"{agents} agents, flat out, repeat {repeat + 1}")
            with running_daemon() as daemon:
                flat_out(report, daemon, agents, plan.pick(4.0, 0.5))


def calm(plan: Plan, report: Report, daemon: Daemon) -> None:
    with probe(daemon, CALM, report):
        time.sleep(plan.pick(4.0, 1.5))
    report.add(f"{CALM}, memory of the daemon, at most", "MB", memory_mb(daemon))


def steady(report: Report, daemon: Daemon, agents: int, rate: int, seconds: float) -> float:
    """Returns the rate that it kept up with, 0 if it did not."""
    what = f"{agents} agents, {rate:,} points/s"
    with probe(daemon, what, report):
        answers = load(daemon, agents, rate, seconds)
    latencies = sorted(value for answer in answers for value in answer["latencies_ms"])
    for share, part in SHARES.items():
        report.add(f"{what}: {share}", "ms", quantile(latencies, part))
    reached = sum(answer["points_per_s"] for answer in answers)
    report.add(f"{what}, reached", "points/s", reached)
    keeps_up = reached >= _KEEPS_UP * rate and quantile(latencies, 0.99) < _LATE_MS
    return reached if keeps_up and not any(answer["dropped"] for answer in answers) else 0.0


def flat_out(report: Report, daemon: Daemon, agents: int, seconds: float) -> None:
    what = f"{agents} agents, flat out"
    answers = load(daemon, agents, 0, seconds)
    points, ended = sum(answer["points"] for answer in answers), time.monotonic()
    report.add(f"{what}, logged", "M points/s", sum(a["points_per_s"] for a in answers) / 1e6)
    dropped = 10 * sum(answer["dropped"] for answer in answers)
    report.add(f"{what}, dropped and counted", "%", 100 * dropped / points)
    report.add(f"{what}, most in spools", "MB", sum(a["most_spooled"] for a in answers) / 1e6)
    durable = [answer["durable_after_s"] for answer in answers]
    if None in durable:
        report.notes.append(f"{what}: not durable within two minutes")
    else:
        report.add(f"{what}, all durable after", "s", max(durable))
    while is_behind(daemon) and time.monotonic() - ended < _CATCH_UP_S:
        time.sleep(0.1)
    report.add(f"{what}, in all sinks after", "s", time.monotonic() - ended)
    report.add("flat out, memory of the daemon, at most", "MB", memory_mb(daemon))


def load(daemon: Daemon, agents: int, rate: int, seconds: float) -> list[dict[str, Any]]:
    """What each process of the trainers measured."""
    count = min(4, agents)
    share = {"trainers": agents // count, "points_per_s": rate / count, "seconds": seconds}
    with ExitStack() as stack:
        processes = []
        for number in range(count):
            label = f"load-{rate}-{number}"
            processes.append(start_workload("load", daemon.home, label=label, **share))
            stack.callback(processes[-1].kill)
        for process in processes:
            await_ready(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [answer_of(process) for process in processes]


def await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("a trainer did not begin")


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate("", timeout=300)
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


@contextmanager
def probe(daemon: Daemon, what: str, report: Report) -> Iterator[None]:
    """Meanwhile see how long a row takes into the TensorBoard file, and into what export reads."""
    run_id = f"{PROBE}-{time.monotonic_ns()}"
    watcher = start_workload("watch", None, folder=str(daemon.home.path), run_id=run_id)
    prober = start_workload(PROBE, daemon.home, run_id=run_id, every_s=0.25)
    try:
        await_ready(watcher)
        await_ready(prober)
        yield
        logged_at = answer_of_told(prober)["logged_at"]
        seen = answer_of_told(watcher)
    finally:
        prober.kill()
        watcher.kill()
    for place, times in seen.items():
        late = sorted((times[step] - at) * 1_000 for step, at in enumerate(logged_at[: len(times)]))
        for share, part in (("p50", 0.5), ("max", 1.0)):
            if late:
                report.add(f"{what}, readable by {place}: {share}", "ms", quantile(late, part))


def answer_of_told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Tell it to end."""
    out, _ = process.communicate("end\n", timeout=60)
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def is_behind(daemon: Daemon) -> bool:
    home = open_home(daemon.home.path)
    return any(
        state.status != "done"
        for info in home.infos()
        for state in home.sink_states(home.view(info.run_id))
    )


def memory_mb(daemon: Daemon) -> float:
    """The most that all processes of the daemon ever had, each at its own time."""
    return sum(peak_mb(member.pid) for member in daemon.family())


if __name__ == "__main__":
    main(__file__)
