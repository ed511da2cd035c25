"""How much later are an honest trainer's rows durable, when another trainer floods the daemon?

The honest one logs 200 rows a second of 10 metrics, and notes when each is known to be durable: alone, and
beside each flood, each time with a daemon of its own (all of its sinks follow the flood). A flood takes
processor time by itself, which the daemon cannot help; so each stands beside a process that is as busy
(the same share of a core as the flood took just before) and sends nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from benchmarks.bench_intake import peak_mb
from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, cpu_s, run_workload, running_daemon, start_workload
from benchmarks.results import Goal, Report
from benchmarks.stats import turns

QUESTION = "How much later are an honest trainer's rows durable beside a flood?"
FLOODS = {
    "wide rows": "1 MiB frames of 44,000 points",
    "tiny rows": "1 MiB frames of 60,000 rows",
    "deaf": "1 MiB frames, acknowledged or not",
    "names": "a million names",
    "rows": "100,000 rows/s",
}
ALONE = "alone"
_POINTS_PER_S = 2_000
_SHARES = ("p50", "p99")
_FLOOD_FIRST_S = 2.0

GOALS = [
    Goal(measure=f"{name}: {share} against alone", at_most=2.0)
    for name in FLOODS.values()
    for share in _SHARES
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one honest trainer met."""

    latency_ms: dict[str, float]
    flood_share: float = 0.0
    """Of one core, the flood's own process."""


def run(plan: Plan, report: Report) -> None:
    rounds, seconds = plan.pick(5, 2), plan.pick(5.0, 3.0)
    alone: dict[int, Seen] = {}
    beside: list[tuple[int, str, Seen]] = []
    for number, kind in turns((ALONE, *FLOODS), rounds):
        plan.say(f"{FLOODS.get(kind, kind)}, round {number + 1} of {rounds}")
        seen = look(report, kind, seconds)
        if kind == ALONE:
            alone[number] = seen
            continue
        beside.append((number, FLOODS[kind], seen))
        as_busy = look(report, "busy", seconds, seen.flood_share)
        beside.append((number, f"as busy as {FLOODS[kind]}", as_busy))
    for number, name, seen in beside:
        for share in _SHARES:
            ratio = seen.latency_ms[share] / alone[number].latency_ms[share]
            report.add(f"{name}: {share} against alone", "×", ratio)


def look(report: Report, kind: str, seconds: float, share: float = 0.0) -> Seen:
    """One honest trainer, alone or beside one other process, with a daemon of their own."""
    with running_daemon() as daemon:
        if kind == ALONE:
            seen = Seen(honest(daemon, seconds))
            note(report, ALONE, seen.latency_ms)
            return seen
        flood = start_workload(
            "flood", daemon.home, kind=kind, folder=str(daemon.home.path), share=share
        )
        try:
            time.sleep(_FLOOD_FIRST_S)
            before, began = cpu_s_of(flood.pid), time.monotonic()
            found = honest(daemon, seconds)
            taken = (cpu_s_of(flood.pid) - before) / (time.monotonic() - began)
        finally:
            flood.kill()
            flood.communicate()
        if kind in FLOODS:
            note(report, FLOODS[kind], found)
            report.add(f"{FLOODS[kind]}: the flood's own process", "cores", taken)
            intake = daemon.worker("intake")
            report.add(f"{FLOODS[kind]}: memory of the intake, RSS", "MB", peak_mb(intake.pid))
        return Seen(found, min(1.0, taken))


def honest(daemon: Daemon, seconds: float) -> dict[str, float]:
    found = run_workload("ack_latency", daemon.home, points_per_s=_POINTS_PER_S, seconds=seconds)
    return {share: found[share] for share in _SHARES}


def cpu_s_of(pid: int) -> float:
    return cpu_s(psutil.Process(pid))


def note(report: Report, name: str, latency_ms: dict[str, float]) -> None:
    for share, value in latency_ms.items():
        report.add(f"{name}: {share}", "ms", value)


if __name__ == "__main__":
    main(__file__)
