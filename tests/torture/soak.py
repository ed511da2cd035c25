"""Load for as long as you like, with a fault every few seconds: nothing may grow, and no row may be missing.

    python -m tests.torture.soak --seconds 60 --png soak.png

A trainer logs 20,000 rows a second, or what the sinks of this machine follow: it is halved while they fall
behind, and doubled when they are near again. In turn the intake, a sink, the trainer or the supervisor is
killed, intake or a sink stopped (longer than a daemon may be silent: the link counts as cut), and, where root
may mount a small file system for the home, the disk is full. Each second memory, descriptors, shared memory,
spool and lag are sampled. Verdict: after the warm-up none of the first three rises by more than its bound (by
the median slope, which a restart does not bend), and in the end each row whose `log()` returned is in the run
once, in order, with its value; the ledger is empty; `verify` has nothing to say; nothing is left in shared
memory.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import mmap
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.home import Home
from exptrack_daemon.store import open_home
from exptrack_daemon.store.verify import verify_run
from tests.support.processes import Daemon

TRAINER = Path(__file__).parents[1] / "support" / "scripts" / "soak_trainer.py"
MIB = 1 << 20
DISK_BYTES = 768 * MIB
STOP_S = 2.5
BEHIND_S = 6.0
"""Sinks that are so far behind are given less to do."""
LEAST_RATE = 500
_JUDGED_SAMPLES = 5
PATIENCE_S = 180.0
BOUNDS = {"memory_mib": 96.0, "descriptors": 12.0, "shared_mib": 8.0}
"""How much each may rise from the warm-up to the end; a sink that caught up keeps what that took."""


@dataclass(frozen=True)
class Sample:
    """One second of it."""

    at_s: float
    memory_mib: float
    descriptors: float
    shared_mib: float
    spool_mib: float
    lag_rows: float
    rows: int
    by_process: dict[str, float]
    """MiB of the memory, by process."""


@dataclass
class Account:
    """What was done, and what was found."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    rates: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    rows: int = 0
    runs: int = 0

    def slopes(self) -> dict[str, float]:
        """By quantity, the rise from the warm-up (a third) to the end."""
        kept = self.samples[len(self.samples) // 3 :]
        return {name: _rise([(one.at_s, getattr(one, name)) for one in kept]) for name in BOUNDS}


def _rise(points: list[tuple[float, float]]) -> float:
    """The median slope of all pairs of points (Theil and Sen), times the time from first to last."""
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(points, 2) if t > s]
    return statistics.median(slopes) * (points[-1][0] - points[0][0]) if slopes else 0.0


class Load:
    """The trainer, and those before it that were killed."""

    def __init__(self, home: Path, rate: int) -> None:
        self._home = home
        self._folder = home.parent / "counts"
        self._folder.mkdir()
        self.rate = rate
        self.names: list[str] = []
        self._cells: list[memoryview] = []
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        name = f"soak-{len(self.names):03d}"
        place = self._folder / name
        place.write_bytes(bytes(16))
        with place.open("r+b") as file:
            self._cells.append(memoryview(mmap.mmap(file.fileno(), 16)).cast("Q"))
        self._cells[-1][1] = self.rate
        self.names.append(name)
        environ = {**os.environ, "EXPTRACK_HOME": str(self._home)}
        return subprocess.Popen([sys.executable, str(TRAINER), name, str(place)], env=environ)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process = self._start()

    def set_rate(self, rate: int) -> None:
        """So many rows a second from now on."""
        self.rate = self._cells[-1][1] = rate

    def finish(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def returned(self) -> dict[str, int]:
        """By run, how many `log()` calls returned."""
        return {name: cells[0] for name, cells in zip(self.names, self._cells, strict=True)}


class Soak:
    """One soak in a home of its own."""

    def __init__(self, home: Path, *, rate: int, seed: int, has_own_disk: bool) -> None:
        self.home = home
        self.account = Account()
        self._dice = Random(seed)
        self._has_own_disk = has_own_disk
        self._began = time.monotonic()
        self.daemon = Daemon(home).start()
        self.load = Load(home, rate)
        self._asked_rate = rate
        self._undo: list[tuple[float, int]] = []

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began

    def run(self, seconds: float, every_s: float) -> Account:
        """Load, faults and samples; then the verdict."""
        faults = self._faults()
        due, sampled = every_s, 0.0
        while self.now_s < seconds:
            time.sleep(0.1)
            self._relent(self.now_s)
            if self.now_s - sampled >= 1:
                sampled = self.now_s
                self._sample()
            if self.now_s >= due:
                due += every_s
                name = next(faults)
                self.account.faults.append((self.now_s, name))
                self._inflict(name)
        self._relent(float("inf"))
        self.load.finish()
        self._judge()
        return self.account

    # --- faults ---------------------------------------------------------------------------------

    def _faults(self) -> Iterator[str]:
        """In random order, each kind as often as the others."""
        kinds = ["intake", "trainer", "supervisor", "sink", "stop intake", "stop sink"]
        if self._has_own_disk:
            kinds.append("full disk")
        while True:
            yield from self._dice.sample(kinds, len(kinds))

    def _inflict(self, name: str) -> None:
        if name == "trainer":
            self.load.kill()
        elif name == "supervisor":
            self.daemon.kill()
            self.daemon = Daemon(self.home).start()
        elif name == "full disk":
            self._fill_disk()
        else:
            victim = "intake" if "intake" in name else self._dice.choice(["store", "tensorboard"])
            pid = self.daemon.pids().get(victim)
            if pid is None:
                return  # it has not come back since the last time
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if "stop" in name else signal.SIGKILL)
            if "stop" in name:
                self._undo.append((self.now_s + STOP_S, pid))

    def _fill_disk(self) -> None:
        free = shutil.disk_usage(self.home).free
        ballast = self.home.parent / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, free)
        with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4_096)):
                pass
        self._undo.append((self.now_s + STOP_S, 0))

    def _relent(self, now_s: float) -> None:
        """Continue what was stopped long enough ago; 0 stands for the disk."""
        due, self._undo = (
            [one for one in self._undo if one[0] <= now_s],
            [one for one in self._undo if one[0] > now_s],
        )
        for _, pid in due:
            if pid == 0:
                (self.home.parent / "ballast").unlink(missing_ok=True)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # --- samples --------------------------------------------------------------------------------

    def _sample(self) -> None:
        memory, descriptors = self._family()
        returned = sum(self.load.returned().values())
        sample = Sample(
            at_s=self.now_s,
            memory_mib=sum(memory.values()),
            by_process=memory,
            descriptors=descriptors,
            shared_mib=sum(_bytes_in(root) for root in Home(self.home).ring_roots) / MIB,
            spool_mib=_bytes_in(Home(self.home).spool) / MIB,
            lag_rows=self._lag(),
            rows=returned,
        )
        self.account.samples.append(sample)
        self.account.rates.append(self.load.rate)
        self._steer()

    def _steer(self) -> None:
        """Less load while the sinks are behind and fall back further, more when they are near again."""
        lags = [sample.lag_rows for sample in self.account.samples[-_JUDGED_SAMPLES:]]
        if len(lags) < _JUDGED_SAMPLES or self.account.rates[-_JUDGED_SAMPLES] != self.load.rate:
            return
        if min(lags) > BEHIND_S * self.load.rate and lags[-1] > lags[0]:
            self.load.set_rate(max(LEAST_RATE, self.load.rate // 2))
        elif max(lags) < self.load.rate:
            self.load.set_rate(min(self._asked_rate, 2 * self.load.rate))

    def _family(self) -> tuple[dict[str, float], int]:
        """Memory by process (MiB of their own: no files, no rings) and descriptors, of daemon and trainer."""
        assert self.daemon.process is not None
        memory: dict[str, float] = {}
        descriptors = 0
        for root in (self.daemon.process.pid, self.load.process.pid):
            with contextlib.suppress(psutil.Error):
                family = psutil.Process(root)
                for member in (family, *family.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        used = member.memory_info()
                        memory[_role(member)] = (used.rss - used.shared) / MIB
                        descriptors += member.num_fds()
        return memory, descriptors

    def _lag(self) -> float:
        """Rows that the slowest sink lacks; what was last known while nobody knows."""
        try:
            reader = open_home(self.home)
            name = self.load.names[-1]
            states = reader.sink_states(reader.find(name))
            known = min((state.rows for state in states), default=0)
            return float(max(0, self.load.returned()[name] - known))
        except (RunNotFound, OSError):
            return self.account.samples[-1].lag_rows if self.account.samples else 0.0

    # --- the end --------------------------------------------------------------------------------

    def _judge(self) -> None:
        account = self.account
        for name, returned in self.load.returned().items():
            account.runs += 1
            account.rows += returned
            deadline = time.monotonic() + PATIENCE_S
            while (fault := self._fault_of(name, returned)) and time.monotonic() < deadline:
                time.sleep(0.5)
            if fault:
                account.failures.append(f"{name}: {fault}")
        if account.rows == 0:
            account.failures.append("the trainers logged nothing")
        left = [path for root in Home(self.home).ring_roots for path in root.glob("*/*")]
        if left:
            account.failures.append(f"shared memory still holds {left[0].parent}")
        for name, rise in account.slopes().items():
            if rise > BOUNDS[name]:
                account.failures.append(f"{name} rose by {rise:.1f}, more than {BOUNDS[name]}")

    def _fault_of(self, name: str, returned: int) -> str:
        reader = open_home(self.home)
        try:
            run = reader.find(name)
        except RunNotFound:
            return f"{returned} rows and no run" if returned else ""
        # The kill may have come between a row's publication and the return of `log()`.
        if run.facts.rows not in (returned, returned + 1):
            return f"{returned} rows returned, {run.facts.rows} are there"
        steps = [point.step for point in reader.points(run) if point.name == "loss"]
        if steps != list(range(run.facts.rows)):
            return "rows are missing, come twice or in another order"
        kept = reader.series(run, ["loss"])["loss"]
        if kept.values.tolist() != [step / 2 for step in steps]:
            return f"parts and tail have {len(kept)} points of {len(steps)}, or other values"
        verdict = verify_run(reader, name)
        ledger = sum(stream.ledger_items for stream in verdict.streams.values())
        if verdict.problems or ledger:
            return f"{ledger} items in the ledger; {verdict.problems}"
        late = [sink.name for sink in reader.sink_states(run) if sink.lag_rows]
        return f"{late} did not catch up" if late else ""

    def end(self) -> None:
        self._relent(float("inf"))
        self.load.end()
        self.daemon.end()


def _role(process: psutil.Process) -> str:
    """`intake`, `store`, `trainer` …"""
    command = process.cmdline()
    if "-m" not in command:
        return "trainer"
    package = command[command.index("-m") + 1].rpartition(".")[2]
    return command[-1] if package == "delivery" else package


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_blocks * 512
    return total


@contextlib.contextmanager
def own_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system there; False where that is not allowed."""
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={DISK_BYTES},mode=700",
        "exptrack-soak",
        str(folder),
    ]
    is_root = os.geteuid() == 0 and shutil.which("mount") is not None
    if not is_root or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def soak(
    folder: Path, seconds: float, *, rate: int = 20_000, every_s: float = 5.0, seed: int = 1
) -> Account:
    """Soak in `folder`, which is left as it was found."""
    place = folder / "soak"
    place.mkdir()
    with own_disk(place) as has_own_disk:
        home = (place / "home").resolve()
        home.mkdir(mode=0o700)
        one = Soak(home, rate=rate, seed=seed, has_own_disk=has_own_disk)
        try:
            return one.run(seconds, every_s)
        finally:
            one.end()
            for left in (*Home(home).ring_roots, Home(home).runtime):
                shutil.rmtree(left, ignore_errors=True)


def draw(account: Account, path: Path) -> None:
    """The samples as a picture, a line for each fault."""
    from matplotlib.figure import Figure

    shown = {
        "rows logged": [one.rows for one in account.samples],
        "lag (rows)": [one.lag_rows for one in account.samples],
        "memory (MiB)": [one.memory_mib for one in account.samples],
        "descriptors": [one.descriptors for one in account.samples],
        "shared memory (MiB)": [one.shared_mib for one in account.samples],
        "spool (MiB)": [one.spool_mib for one in account.samples],
    }
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True)
    times = [one.at_s for one in account.samples]
    for axis, (name, values) in zip(axes, shown.items(), strict=True):
        axis.plot(times, values, color="#2a6fb0", linewidth=1.4)
        axis.set_ylabel(name)
        if name.startswith("memory"):
            for role in sorted({role for one in account.samples for role in one.by_process}):
                sizes = [one.by_process.get(role, float("nan")) for one in account.samples]
                axis.plot(times, sizes, linewidth=0.9, label=role)
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        for at, _ in account.faults:
            axis.axvline(at, color="#c0392b", linewidth=0.8, alpha=0.6)
    for at, name in account.faults:
        axes[0].annotate(
            name, (at, 1.02), xycoords=("data", "axes fraction"), rotation=40, fontsize=8
        )
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=20_000, help="rows a second that are tried")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--png", type=Path, default=Path("soak.png"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        account = soak(
            Path(folder), asked.seconds, rate=asked.rate, every_s=asked.every, seed=asked.seed
        )
    draw(account, asked.png)
    rises = {
        name: f"{rise:+.1f} (at most {BOUNDS[name]})" for name, rise in account.slopes().items()
    }
    print(f"{account.rows} rows in {account.runs} runs, rates {dict(Counter(account.rates))}")
    print(f"faults {dict(Counter(name for _, name in account.faults))}")
    print(f"rise after the warm-up: {rises}; drawn in {asked.png}")
    print(*account.failures or ["nothing grew, and no row is missing"], sep="\n")
    return bool(account.failures)


if __name__ == "__main__":
    sys.exit(main())
