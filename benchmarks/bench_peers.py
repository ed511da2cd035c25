"""What do other trackers cost on the same work, and what do they lose?

Each runs in a virtual environment of its own (`python -m benchmarks.peers` makes them; one that is missing is
named in the notes), locally or offline, automatic capture off, all in turns. exptrack runs with its daemon
and all of its default sinks.

- calls: `log` of ten floats between steps of 0.2 ms, of 2,000 floats, opening and finishing a run;
- slowdown: blocks of 1 ms steps with 20 metrics, tracked and untracked in turns within one process;
- killed: SIGKILL at a random moment while rows are logged every 0.3 ms; then the rows are counted by the
  tracker's own reader or in its files, and set against the `log` calls that had returned;
- helper stopped, helper killed: all child processes of the trainer (for exptrack: the daemon with all of its
  workers) get SIGSTOP for 3 s, or SIGKILL; the longest `log` call, and the share of rows missing at the end.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import Plan, main
from benchmarks.homes import Daemon, end_daemon, end_family, wait_until
from benchmarks.peers.environments import OURS, PACKAGES, python_of
from benchmarks.results import Goal, Report
from benchmarks.stats import turns
from exptrack_daemon.home import Home

PARTS = (*OURS, *PACKAGES)
QUESTION = "What do other trackers cost on the same work, and what do they lose?"
_HERE = Path(__file__).parent / "peers"
_WIDE_HANGS = ("kohakuboard",)
"""Their `finish` does not return after rows of 2,000 values."""
_NOT_COUNTED = {
    "swanlab": "only its server reads what it stores",
    "aim": "its reader finds no run here, not even one that was closed",
}
_TIMEOUT_S = 90.0

GOALS = [
    Goal(
        measure="exptrack: log of 10 floats, p50",
        at_most=1.8,
        baseline="trailer: log of 10 floats, p50",
    ),
    Goal(
        measure="exptrack: log of 10 floats, p99",
        at_most=30,
        baseline="trailer: log of 10 floats, p99",
    ),
    Goal(
        measure="exptrack: log of 2,000 floats, p50",
        at_most=0.6,
        baseline="trailer: log of 2,000 floats, p50",
    ),
    Goal(
        measure="exptrack: 1 ms step, tracked", at_most=1.1, baseline="trackio: 1 ms step, tracked"
    ),
    Goal(
        measure="exptrack: rows lost when killed",
        at_most=0,
        worst_counts=True,
        baseline="trailer: rows lost when killed",
    ),
    Goal(measure="exptrack: helper killed, rows missing", at_most=0, worst_counts=True),
]


def run(plan: Plan, report: Report) -> None:
    wanted = [name for name in PARTS if plan.wants(name)]
    report.notes.extend(
        f"{name}: rows are not counted, since {why}"
        for name, why in _NOT_COUNTED.items()
        if name in wanted
    )
    names = [name for name in wanted if python_of(name) is not None]
    missing = [name for name in wanted if name not in names]
    if missing:
        report.notes.append(f"not installed (python -m benchmarks.peers): {', '.join(missing)}")
    chance = random.Random(7)
    rounds = plan.pick(3, 1)
    for number, name in turns(names, rounds):
        for what in (calls, slowdown, killed, helper_stopped, helper_killed):
            plan.say(f"{name}: {what.__name__}, round {number + 1} of {rounds}")
            try:
                what(Bench(name, plan, report, chance))
            except (subprocess.SubprocessError, RuntimeError, TimeoutError, ValueError) as error:
                report.notes.append(f"{name}: {what.__name__} failed: {str(error)[:160]}")


class Bench:
    """One tracker's turn."""

    def __init__(self, name: str, plan: Plan, report: Report, chance: random.Random) -> None:
        self.name, self.plan, self.chance = name, plan, chance
        self._report = report
        self._python = str(python_of(name))

    def note(self, what: str, unit: str, value: float) -> None:
        self._report.add(f"{self.name}: {what}", unit, value)

    def say(self, note: str) -> None:
        self._report.notes.append(f"{self.name}: {note}")

    def start(self, folder: Path, do: str, **options: Any) -> subprocess.Popen[str]:
        """The tracker's worker, in a group of its own so that its helpers can be ended with it."""
        told = json.dumps({"do": do, "tracker": self.name, "folder": str(folder), **options})
        environment = {**os.environ, "PYTHONPATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
        if self.name in OURS:
            environment.pop("PYTHONPATH")
        return subprocess.Popen(
            [self._python, str(_HERE / "worker.py"), told],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=environment,
        )

    def work(self, folder: Path, do: str, **options: Any) -> dict[str, Any]:
        return answer_of(self.start(folder, do, **options))

    def count(self, folder: Path) -> int | None:
        """The rows that are there; None where we cannot tell."""
        if self.name in _NOT_COUNTED:
            return None
        done = subprocess.run(
            [self._python, str(_HERE / "adapters.py"), self.name, str(folder)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return int(done.stdout.splitlines()[-1]) if done.returncode == 0 else 0

    @contextlib.contextmanager
    def place(self) -> Iterator[tuple[Path, Daemon | None]]:
        """An empty folder; for exptrack with a daemon that serves it."""
        with tempfile.TemporaryDirectory(
            prefix="exptrack-peers-", ignore_cleanup_errors=True
        ) as text:
            folder = Path(text).resolve()
            if self.name != "exptrack":
                yield folder, None
                return
            home = Home(folder / "home")
            home.path.mkdir(mode=0o700)
            daemon = Daemon(home)
            try:
                daemon.wait_until_up()
                yield folder, daemon
            finally:
                daemon.end()
                end_daemon(home)  # one that the agent started in its place
                for path in (*home.ring_roots, home.runtime):
                    shutil.rmtree(path, ignore_errors=True)


def calls(bench: Bench) -> None:
    wide = 0 if bench.name in _WIDE_HANGS else bench.plan.pick(20, 5)
    with bench.place() as (folder, _):
        told = bench.work(folder, "calls", count=bench.plan.pick(5_000, 1_000), wide=wide)
    bench.note("log of 10 floats, p50", "µs", told["p50_us"])
    bench.note("log of 10 floats, p99", "µs", told["p99_us"])
    bench.note("log of 10 floats, max", "µs", told["max_us"])
    if told["wide_ms"] is not None:
        bench.note("log of 2,000 floats, p50", "ms", told["wide_ms"])
    bench.note("import and open", "ms", told["open_ms"])
    bench.note("finish", "ms", told["finish_ms"])
    bench.note("peak memory of the trainer", "MiB", told["peak_mib"])


def slowdown(bench: Bench) -> None:
    with bench.place() as (folder, _):
        told = bench.work(
            folder, "slowdown", rounds=bench.plan.pick(8, 3), steps=bench.plan.pick(200, 100)
        )
    bench.note("1 ms step, tracked", "times untracked", told["ratio"])


def killed(bench: Bench) -> None:
    with bench.place() as (folder, _):
        victim, cell = _endure(bench, folder, 60)
        time.sleep(bench.chance.uniform(0.8, 2.0))
        victim.kill()
        logged = cell()
        time.sleep(1.0)  # its helpers may still write what they were given
        _end(victim)
        found = bench.count(folder)
    if found is not None:
        bench.note("rows lost when killed", "%", 100 * max(0, logged - found) / logged)


def helper_stopped(bench: Bench) -> None:
    _helpers(bench, "stopped", signal.SIGSTOP)


def helper_killed(bench: Bench) -> None:
    _helpers(bench, "killed", signal.SIGKILL)


def _helpers(bench: Bench, how: str, number: signal.Signals) -> None:
    with bench.place() as (folder, daemon):
        victim, cell = _endure(bench, folder, bench.plan.pick(8, 5))
        time.sleep(0.5)
        root = psutil.Process(victim.pid if daemon is None else daemon.process.pid)
        helpers = [*([] if daemon is None else [root]), *root.children(recursive=True)]
        for helper in helpers:
            helper.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(3)
            for helper in helpers:
                helper.send_signal(signal.SIGCONT)
        if not helpers:
            bench.say("it has no helper process that could be stopped or killed")
            _end(victim)
            return
        try:
            told = answer_of(victim)
            bench.note(f"helper {how}, longest log call", "ms", told["worst_ms"])
        except (RuntimeError, subprocess.TimeoutExpired):
            bench.note(f"helper {how}, trainer hangs or ends", "times", 1)
        finally:
            logged = cell()
            _end(victim)
        found = bench.count(folder)
        if found is not None:
            bench.note(f"helper {how}, rows missing", "%", 100 * max(0, logged - found) / logged)


def _endure(
    bench: Bench, folder: Path, seconds: float
) -> tuple[subprocess.Popen[str], Callable[[], int]]:
    """A trainer that logs, and how often `log` has returned so far."""
    counter = folder / "counter"
    counter.write_bytes(bytes(16))
    victim = bench.start(folder, "endure", counter=str(counter), seconds=seconds)

    def cell() -> int:
        with (
            counter.open("rb") as file,
            mmap.mmap(file.fileno(), 16, prot=mmap.PROT_READ) as shared,
        ):
            return int.from_bytes(shared[:8], "little")

    try:
        wait_until(lambda: victim.poll() is not None or cell() > 0, 60, "the first row")
    except TimeoutError:
        _end(victim)
        raise
    return victim, cell


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, _ = process.communicate(timeout=_TIMEOUT_S)
    finally:
        _end(process)
    lines = [line for line in out.splitlines() if line.startswith("ANSWER ")]
    if not lines:
        raise RuntimeError(f"no answer; it ended with {process.returncode}")
    told: dict[str, Any] = json.loads(lines[-1].removeprefix("ANSWER "))
    return told


def _end(process: subprocess.Popen[str]) -> None:
    """With its helpers, also those that it left alone."""
    end_family(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    if process.stdout is not None and not process.stdout.closed:
        process.stdout.close()


if __name__ == "__main__":
    main(__file__)
