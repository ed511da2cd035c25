"""How long do import, init, finish and the end of the process keep a training script waiting?

Everything happens in fresh processes. Import and exit are set against the same Python that does nothing
(`python -c pass`), measured in turns; what Python itself takes is shown and taken off in the lines that say
"more". `finish` is timed after 10,000, 200,000 and 10 M points (rows of 1,000 metrics, a full pass only),
logged no faster than the daemon takes them. The daemon's start is timed until it can be found; "cold" is with
all files of Python and of the packages out of the page cache (what other processes have mapped stays).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Plan, main
from benchmarks.homes import (
    Daemon,
    beacon,
    environment,
    run_workload,
    running_daemon,
    temporary_home,
    wait_until,
)
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_daemon.home import Home

QUESTION = "How long do import, init, finish and exit keep a script waiting?"
NOTHING = "python -c pass"
IMPORT_MORE = "import exptrack_agent: more than pass"
TOTAL = "python -c 'import exptrack_agent'"
INIT, FIRST_INIT = "init, daemon up", "init that starts a daemon"
FINISH, EXIT_MORE = "finish after 200,000 points", "exit after finish: more than pass"
FINISH_LITTLE, FINISH_MUCH = "finish after 10,000 points", "finish after 10,000,000 points"
START = "start of the daemon, warm"
FLOOR = "write and fdatasync of the same rows"

GOALS = [
    Goal(measure=IMPORT_MORE, at_most=60, baseline=NOTHING),
    Goal(measure=INIT, at_most=50, baseline=NOTHING),
    Goal(measure=FIRST_INIT, at_most=2_000, baseline=NOTHING),
    Goal(measure=FINISH_LITTLE, at_most=150, baseline=NOTHING),
    Goal(measure=FINISH, at_most=150, baseline=FLOOR),
    Goal(measure=FINISH_MUCH, at_most=150, baseline=f"{FLOOR}, 10,000,000 points"),
    Goal(measure=START, at_most=2_000, baseline=NOTHING),
]

SCRIPTS = {
    NOTHING: "pass",
    TOTAL: "import exptrack_agent",
    "python -c 'import numpy'": "import numpy",
    "python -c 'import tensorboard.summary'": "import tensorboard.summary",
}


def run(plan: Plan, report: Report) -> None:
    imports(plan, report)
    with running_daemon() as daemon:
        inits(plan, report, daemon.home)
        finishes(plan, report, daemon.home)
        long_finishes(plan, report, daemon.home)
    starts(plan, report)
    for number in range(plan.pick(5, 2)):
        plan.say(f"init without a daemon, {number + 1}")
        with temporary_home() as home:
            found = run_workload("start_stop", home, part="autostart")
        report.add(FIRST_INIT, "ms", found["init_ms"])
        report.add(
            "from init, that starts a daemon, to the first acknowledgement", "ms", found["ack_ms"]
        )


def imports(plan: Plan, report: Report) -> None:
    rounds = plan.pick(15, 5)
    for number, name in turns(list(SCRIPTS), rounds):
        plan.say(f"import, round {number + 1} of {rounds}")
        report.add(name, "ms", process_ms(SCRIPTS[name]))
    pairs = zip(report.measures[TOTAL].values, report.measures[NOTHING].values, strict=True)
    for ours, nothing in pairs:
        report.add(IMPORT_MORE, "ms", ours - nothing)


def process_ms(script: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment(None), check=True)
    return (time.perf_counter() - began) * 1_000


def inits(plan: Plan, report: Report, home: Home) -> None:
    for number in range(plan.pick(15, 5)):
        plan.say(f"init, {number + 1}")
        found = run_workload("start_stop", home, part="init")
        report.add(INIT, "ms", found["init_ms"])
        report.add("second init of the process", "ms", found["again_ms"])
        report.add("from init to the first acknowledgement, daemon up", "ms", found["ack_ms"])


def finishes(plan: Plan, report: Report, home: Home) -> None:
    """How long `finish` waits, and what comes between the script's last line and the end of the process."""
    rounds = plan.pick(8, 3)
    for number, part in turns(["finish", "no finish", "nothing"], rounds):
        plan.say(f"finish and exit, round {number + 1} of {rounds}")
        found, exit_ms = timed_exit(home, part)
        if part == "finish":
            report.add(FINISH, "ms", found["finish_ms"])
            report.add(FLOOR, "ms", found["floor_ms"])
            report.add("logging the 200,000 points, 20 a row", "ms", found["log_ms"])
        report.add(f"exit: {part}", "ms", exit_ms)
    exits = (report.measures[f"exit: {part}"].values for part in ("finish", "nothing"))
    for ours, nothing in zip(*exits, strict=True):
        report.add(EXIT_MORE, "ms", ours - nothing)


def long_finishes(plan: Plan, report: Report, home: Home) -> None:
    """`finish` after little, and after very much."""
    for number in range(plan.pick(5, 2)):
        plan.say(f"finish after little and much, {number + 1}")
        found = run_workload("start_stop", home, part="finish", rows=500)
        report.add(FINISH_LITTLE, "ms", found["finish_ms"])
        if plan.is_quick or number >= 3:
            continue
        found = run_workload("start_stop", home, part="finish", rows=10_000, metrics=1_000)
        report.add(FINISH_MUCH, "ms", found["finish_ms"])
        report.add(f"{FLOOR}, 10,000,000 points", "ms", found["floor_ms"])


def starts(plan: Plan, report: Report) -> None:
    """From the start of the daemon's process until trainers can find it."""
    for number in range(plan.pick(5, 2)):
        for is_cold in (False, True) if not plan.is_quick else (False,):
            plan.say(f"start of the daemon, {number + 1}")
            if is_cold:
                forget_files(Path(sys.prefix), Path(os.__file__).parent, ROOT)
            with temporary_home() as home:
                began = time.perf_counter()
                daemon = Daemon(home)
                wait_until(lambda home=home: beacon(home), 60, "the daemon can be found")
                took = (time.perf_counter() - began) * 1_000
                daemon.end()
            report.add("start of the daemon, cold" if is_cold else START, "ms", took)


def forget_files(*folders: Path) -> None:
    """Ask the kernel to drop what it keeps of the files in these folders."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.suffix in {".py", ".pyc", ".so"} and path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed_exit(home: Home, part: str) -> tuple[dict[str, Any], float]:
    command = [sys.executable, "-m", "benchmarks.workloads.start_stop", json.dumps({"part": part})]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, check=True, timeout=60
    )
    ended = time.perf_counter()
    found: dict[str, Any] = json.loads(done.stdout)
    return found, (ended - found["last_line_at"]) * 1_000


if __name__ == "__main__":
    main(__file__)
