"""SIGKILL at random instants, under load, with the real processes; then a judge reads what is there.

    python -m tests.torture.kills --count 1000 --seed 1

Trainers log without pause. Again and again one of them, the intake, a sink's worker, the supervisor, or the
whole daemon is killed; what a user or a service manager would start again is started again. In the end, of
every trainer: each row whose `log()` returned is in the run exactly once and in order, with its value, and so
in TensorBoard; nothing is in the loss ledger; `verify` has nothing to say; and a fresh run works.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.home import Home
from exptrack_daemon.store import open_home
from exptrack_daemon.store.verify import verify_run
from tests.support.processes import Daemon, finished, trainer
from tests.support.readback import tensorboard_steps

NURSERY = Path(__file__).parents[1] / "support" / "scripts" / "nursery.py"
WEIGHTS = {
    "trainer": 80,
    "intake": 5,
    "tensorboard": 6,
    "store": 6,
    "catalog": 3,
    "sampler": 1,
    "supervisor": 3,
    "everything": 2,
}
_AT_ONCE = 3
_PATIENCE_S = 120

FRESH = """
run = xt.init("kills", name="fresh", run_id="fresh", autostart=False)
for step in range(100):
    run.log({"loss": step / 2}, step=step)
print(run.flush(timeout_s=30))
run.finish(timeout_s=20)
"""


class Nursery:
    """Makes trainers that a kill costs little to replace."""

    def __init__(self, home: Path, counts: Path) -> None:
        self._counts = counts
        counts.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, str(NURSERY), str(counts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "EXPTRACK_HOME": str(home)},
        )
        self.alive: dict[str, int] = {}
        self.names: list[str] = []

    def make(self, dice: Random) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        name = f"k{len(self.names):05d}"
        self._process.stdin.write(f"{name} {dice.randrange(1 << 30)}\n")
        self._process.stdin.flush()
        self.alive[name] = int(self._process.stdout.readline())
        self.names.append(name)

    def kill_one(self, dice: Random) -> None:
        name = dice.choice(sorted(self.alive))
        os.kill(self.alive.pop(name), signal.SIGKILL)

    def returned(self, name: str) -> int:
        """How many `log()` calls of it returned."""
        with contextlib.suppress(FileNotFoundError):
            return int.from_bytes((self._counts / name).read_bytes(), "little")
        return 0

    def close(self) -> None:
        for pid in self.alive.values():
            os.kill(pid, signal.SIGKILL)
        self.alive.clear()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@dataclass
class Tally:
    """What was killed, and what the judge found."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    rows: int = 0
    failures: list[str] = field(default_factory=list)


def torture(home: Path, count: int, seed: int) -> Tally:
    """Kill `count` times in a home of one's own, then judge."""
    dice, tally = Random(seed), Tally()
    daemon = Daemon(home).start()
    nursery = Nursery(home, home.parent / "counts")
    try:
        for victim in dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count):
            while len(nursery.alive) < _AT_ONCE:
                nursery.make(dice)
            time.sleep(dice.uniform(0, 0.06))
            daemon = _kill(victim, daemon, nursery, dice, tally)
        time.sleep(dice.uniform(0, 0.5))
        nursery.close()
        _judge(home, nursery, tally)
        fresh = finished(trainer(FRESH, home)).strip()
        if fresh != "True":
            tally.failures.append("a fresh run was not made durable")
    finally:
        nursery.close()
        daemon.end()
    return tally


def _kill(victim: str, daemon: Daemon, nursery: Nursery, dice: Random, tally: Tally) -> Daemon:
    if victim == "trainer":
        nursery.kill_one(dice)
    elif victim == "supervisor":
        daemon.kill()
    elif victim == "everything":
        daemon.kill_all()
    elif pid := daemon.pids().get(victim):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    else:
        return daemon  # it has not come back since the last time
    tally.kills[victim] += 1
    if victim in ("supervisor", "everything"):
        return Daemon(daemon.home).start()
    return daemon


def _judge(home: Path, nursery: Nursery, tally: Tally) -> None:
    """Each run as soon as all is there; what is not there after long enough is missing."""
    deadline = time.monotonic() + _PATIENCE_S
    for name in nursery.names:
        while (fault := _fault_of(home, name, nursery.returned(name))) is not None:
            if time.monotonic() > deadline:
                tally.failures.append(f"{name}: {fault}")
                break
            time.sleep(0.25)
        tally.runs += 1
        tally.rows += nursery.returned(name)


def _fault_of(home: Path, name: str, returned: int) -> str | None:
    reader = open_home(home)
    try:
        run = reader.find(name)
    except RunNotFound:
        return f"{returned} rows and no run" if returned else None
    points = [(p.step, p.value) for p in reader.points(run) if p.name == "loss"]
    # The kill may have come between a row's publication and the return of `log()`.
    if points not in ([(n, n / 2) for n in range(rows)] for rows in (returned, returned + 1)):
        return f"{returned} rows returned, {len(points)} are there: {points[:2]} … {points[-2:]}"
    shown = tensorboard_steps(home / "tensorboard" / "kills" / name, "loss")
    if shown != dict.fromkeys(range(len(points)), 1):
        return f"TensorBoard has {sum(shown.values())} points of {len(points)}"
    kept = reader.series(run, ["loss"])["loss"]
    if kept.steps.tolist() != list(range(len(points))):
        return f"parts and tail have {len(kept)} points of {len(points)}"
    verdict = verify_run(reader, name)
    ledger = sum(stream.ledger_items for stream in verdict.streams.values())
    if verdict.problems or ledger:
        return f"{ledger} items in the ledger; {verdict.problems}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = (Path(folder) / "home").resolve()
        home.mkdir(mode=0o700)
        try:
            tally = torture(home, asked.count, asked.seed)
            if tally.failures:
                kept = shutil.copytree(home, tempfile.mkdtemp() + "/home")
                print(f"The home is kept in {kept}.")
        finally:
            for left in (*Home(home).ring_roots, Home(home).runtime):
                shutil.rmtree(left, ignore_errors=True)
    print(
        f"{sum(tally.kills.values())} kills {dict(tally.kills)}, {tally.runs} runs,"
        f" {tally.rows} rows in {time.monotonic() - began:.0f} s: {len(tally.failures)} failures"
    )
    print(*tally.failures, sep="\n")
    return bool(tally.failures)


if __name__ == "__main__":
    sys.exit(main())
