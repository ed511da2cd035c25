"""How many points a second does the intake make durable on one core, with 1, 8 and 64 agents connected?

Frames as agents send them (20 metrics a row, about 128 KiB a frame) are made beforehand and pushed from real
processes, each agent over its own connection into its own run. The rate is points by CPU second of the
intake process, all its threads and the system's part included. Set against what cannot be saved: writing the
same bytes to a file with `fdatasync` for each MiB. No sampler and no TensorBoard; the catalogue always runs.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, cpu_s, running_daemon, start_workload
from benchmarks.results import Goal, Report

QUESTION = "How many points a second does the intake make durable on one core?"
SETTINGS = "default_sinks = []\n[sampler]\nenabled = false\n"
AGENTS = (1, 8, 64)
METRICS, ROWS_PER_FRAME, _FEW_ROWS = 20, 230, 5
FLOOR = "write and fdatasync of the same bytes, nothing else"

GOALS = [
    *(
        Goal(measure=f"intake, {agents} agents", at_least=1.0, later=3.0, baseline=FLOOR)
        for agents in AGENTS
    ),
    Goal(
        measure="memory of the intake, at most, RSS",
        at_most=150,
        worst_counts=True,
        baseline="memory before the first agent, RSS",
    ),
]


def run(plan: Plan, report: Report) -> None:
    repeats, frames = plan.pick(3, 1), plan.pick(512, 128)
    for repeat in range(repeats):
        for agents in AGENTS:
            plan.say(f"{agents} agents, repeat {repeat + 1} of {repeats}")
            with running_daemon(SETTINGS) as daemon:
                feed(report, daemon, agents, max(2, frames // agents))
        plan.say(f"small frames, repeat {repeat + 1} of {repeats}")
        with running_daemon(SETTINGS) as daemon:
            feed_small_frames(report, daemon, 4 * frames)


def feed_small_frames(report: Report, daemon: Daemon, frames: int) -> None:
    """What an agent sends that logs a row in some milliseconds: the cost of a frame shows."""
    intake = daemon.worker("intake")
    before = cpu_s(intake)
    answers = push(daemon, 8, frames // 8, rows=_FEW_ROWS)
    cpu = cpu_s(intake) - before
    points = sum(answer["points"] for answer in answers)
    report.add("intake, 8 agents, frames of 5 rows", "M points/CPU s", points / cpu / 1e6)
    report.add("CPU time of a frame of 5 rows", "µs", cpu / frames * 1e6)


def feed(report: Report, daemon: Daemon, agents: int, frames: int) -> None:
    intake = daemon.worker("intake")
    before = cpu_s(intake)
    report.add("memory before the first agent, RSS", "MB", peak_mb(intake.pid))
    answers = push(daemon, agents, frames)
    cpu = cpu_s(intake) - before
    points = sum(answer["points"] for answer in answers)
    size = sum(answer["bytes"] for answer in answers)
    report.add(f"intake, {agents} agents", "M points/CPU s", points / cpu / 1e6)
    wall_s = max(answer["wall_s"] for answer in answers)
    report.add(f"intake, {agents} agents, by wall time", "M points/s", points / wall_s / 1e6)
    floor = floor_cpu_s(daemon.home.path / "floor.bin", size)
    report.add(FLOOR, "M points/CPU s", points / floor / 1e6)
    report.add("bytes on the wire", "bytes/point", size / points)
    written = sum(
        path.stat().st_size
        for answer in answers
        for run_id in answer["runs"]
        for path in daemon.home.journal(run_id).iterdir()
    )
    report.add("bytes in the journal", "bytes/point", written / points)
    report.add("memory of the intake, at most, RSS", "MB", peak_mb(intake.pid))


def push(
    daemon: Daemon, agents: int, frames: int, rows: int = ROWS_PER_FRAME
) -> list[dict[str, Any]]:
    """Agents in up to four processes; returns what each process measured."""
    processes = [
        start_workload(
            "feeder",
            home=None,
            folder=str(daemon.home.path),
            agents=agents // min(4, agents),
            frames=frames,
            rows=rows,
            metrics=METRICS,
        )
        for _ in range(min(4, agents))
    ]
    try:
        return [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()


def floor_cpu_s(path: Path, size: int) -> float:
    block = b"x" * 2**20
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began = time.process_time()
    try:
        for _ in range(max(1, size >> 20)):
            os.write(descriptor, block)
            os.fdatasync(descriptor)
        return time.process_time() - began
    finally:
        os.close(descriptor)
        path.unlink()


def peak_mb(pid: int) -> float:
    """The most resident memory the process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    raise RuntimeError(f"process {pid} tells no VmHWM")


if __name__ == "__main__":
    main(__file__)
