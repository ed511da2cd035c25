"""How many rows are lost when the trainer is killed with SIGKILL?

A trainer counts, in memory that survives it, the `log()` calls that returned; at a random moment it is
killed. After `exptrack recover` all rows that the home holds are read back: a counted row that is not there
is lost, one that is there twice is a duplicate. States of the daemon: running; killed in the same moment,
whole; frozen by SIGSTOP some time before, and let go on afterwards; none. Set against SummaryWriter and a
CSV file, killed the same way. Each repeat gives the share of rows lost.
"""

from __future__ import annotations

import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.harness import ROOT, Plan, main
from benchmarks.homes import (
    Daemon,
    end_family,
    environment,
    running_daemon,
    start_workload,
    temporary_home,
    wait_until,
)
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from benchmarks.workloads.victim import METRICS
from exptrack_daemon.home import Home
from exptrack_daemon.store import open_home

QUESTION = "How many rows are lost when the trainer is killed?"
RUNNING, KILLED, FROZEN, NONE = "daemon running", "daemon killed too", "daemon frozen", "no daemon"
STATES = (RUNNING, KILLED, FROZEN, NONE)
PEERS = ("SummaryWriter", "CSV file")
GOALS = [
    goal
    for state in STATES
    for goal in (
        Goal(
            measure=f"{state}: rows lost",
            at_most=0,
            worst_counts=True,
            baseline="SummaryWriter: rows lost",
        ),
        Goal(measure=f"{state}: rows twice", at_most=0, worst_counts=True),
    )
]


def run(plan: Plan, report: Report) -> None:
    rounds = plan.pick(6, 1)
    chance = random.Random(1)
    for number, what in turns([*STATES, *PEERS], rounds):
        plan.say(f"{what}, round {number + 1} of {rounds}")
        after_s = chance.uniform(0.3, 1.3)
        with tempfile.TemporaryDirectory() as folder:
            lost_and_twice = kill_peer if what in PEERS else kill_ours
            logged, found = lost_and_twice(what, Path(folder), after_s)
        note(report, what, logged, found)
    report.notes.append(
        f"seeds: random.Random(1); {rounds} kills each, 0.3 to 1.3 s after the first row"
    )


def note(report: Report, what: str, logged: int, found: Counter[int]) -> None:
    report.add(f"{what}: rows logged", "rows", logged)
    report.add(f"{what}: rows lost", "rows", sum(step not in found for step in range(logged)))
    report.add(f"{what}: rows twice", "rows", sum(count > 1 for count in found.values()))


def kill_ours(state: str, folder: Path, after_s: float) -> tuple[int, Counter[int]]:
    if state == NONE:
        with temporary_home() as home:
            logged = kill_victim(home, "exptrack", folder, after_s)
            recover(home)
            return logged, steps_in(home)
    with running_daemon() as daemon:
        logged = kill_victim(daemon.home, "exptrack", folder, after_s, daemon, state)
        daemon.signal(signal.SIGCONT)
        recover(daemon.home)
        return logged, steps_in(daemon.home)


def kill_victim(
    home: Home | None,
    tracker: str,
    folder: Path,
    after_s: float,
    daemon: Daemon | None = None,
    state: str = "",
) -> int:
    """Start a trainer, kill it after a while; returns how many of its log calls had returned."""
    counter = folder / "counter"
    counter.write_bytes(bytes(8))
    options = {"tracker": tracker, "counter": str(counter), "output": str(folder)}
    victim = start_workload("victim", home, **options)
    try:
        wait_until(lambda: count_in(counter), 60, "the first row")
        if daemon is not None and state == FROZEN:
            time.sleep(0.3)
            daemon.signal(signal.SIGSTOP)
        time.sleep(after_s)
        if daemon is not None and state == KILLED:
            end_family(daemon.process.pid)
    finally:
        victim.kill()
        victim.communicate()
    return count_in(counter)


def count_in(path: Path) -> int:
    return int(struct.unpack("Q", path.read_bytes())[0])


def recover(home: Home) -> None:
    """What a user would say; with a running daemon it waits until that has brought everything in."""
    command = [sys.executable, "-m", "exptrack_daemon", "recover", "--home", str(home.path)]
    subprocess.run(
        command, cwd=ROOT, env=environment(home), check=True, stdout=subprocess.DEVNULL, timeout=60
    )


def steps_in(home: Home) -> Counter[int]:
    """How often each step stands in the home; only rows that are whole count."""
    return Counter(
        row.step
        for entry in open_home(home.path).rows("victim")
        for row in entry.rows
        if len(row.values) == METRICS
    )


def kill_peer(tracker: str, folder: Path, after_s: float) -> tuple[int, Counter[int]]:
    logged = kill_victim(None, tracker, folder, after_s)
    found = steps_in_csv(folder) if tracker == "CSV file" else steps_in_events(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return logged, found


def steps_in_csv(folder: Path) -> Counter[int]:
    rows = (line.split(",") for line in (folder / "rows.csv").read_text().splitlines())
    return Counter(int(row[0]) for row in rows if len(row) == METRICS + 1)


def steps_in_events(folder: Path) -> Counter[int]:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    values: Counter[int] = Counter()
    for path in sorted(folder.glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            values.update(event.step for _ in event.summary.value)
    return Counter({step: count // METRICS for step, count in values.items() if count >= METRICS})


if __name__ == "__main__":
    main(__file__)
