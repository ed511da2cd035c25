"""SIGKILL of the store's worker at random instants, while its run grows; readers look after every one.

    python -m tests.torture.store_kills --count 1000 --seed 1

Parts have a few points only, so that a kill falls into the writing of a part, of cells, of the manifest, into
a merge or the removal of what was merged. After each kill every point of the journal is in parts and tail
once, and after a fifth of them `verify` is asked, too; in the end the parts are, byte for byte, those of a
worker that lived.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exptrack_daemon.store.manifest import FOLDER, Manifest
from exptrack_daemon.store.reader import HomeReader, open_home
from exptrack_daemon.store.verify import verify_run
from exptrack_proto.records import Row
from tests.support.homes import START_NS, HomeBuilder, StreamBuilder
from tests.support.store_answers import as_tuples
from tests.support.stores import MIDDLING, deliver, part_files

ROOT = Path(__file__).parents[2]


@dataclass
class Tally:
    """What was killed where, and what was found."""

    kills: int = 0
    half_written: int = 0
    """Kills that left a file under its temporary name, or one that no manifest names."""
    points: int = 0
    failures: list[str] = field(default_factory=list)


class Workers:
    """Makes workers that cost milliseconds."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scripts.store_nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, home: Path) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{home}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def torture(home: Path, count: int, seed: int) -> Tally:
    """Kill `count` workers of one run, judge after each, and at the end."""
    dice, tally, workers = Random(seed), Tally(), Workers()
    run = HomeBuilder(home).run("r")
    stream = run.stream()
    reader = open_home(home)
    step = 0
    try:
        for _ in range(count):
            pid = workers.begin(home)
            end = time.monotonic() + dice.uniform(0, 0.12)
            while time.monotonic() < end:
                step = _log(stream, step, dice)
                time.sleep(dice.uniform(0, 0.01))
            os.kill(pid, signal.SIGKILL)
            _wait_until_gone(pid)
            tally.kills += 1
            tally.half_written += _is_half_written(reader)
            if fault := _fault_of(reader, is_thorough=dice.random() < 0.2):
                tally.failures.append(f"after kill {tally.kills}: {fault}")
            if dice.random() < 0.1:
                stream.close()
                stream, step = run.stream(), dice.randint(0, step)
        stream.close()
    finally:
        workers.close()
        run.close()
    _compare_with_one_that_lived(home, tally)
    tally.points = sum(1 for _ in reader.points("r"))
    return tally


def _log(stream: StreamBuilder, step: int, dice: Random) -> int:
    rows = [
        Row(step + n, START_NS + step + n, {"loss": dice.random(), "note": "x", "n": step + n})
        for n in range(dice.randint(1, 6))
    ]
    stream.rows(*rows)
    return step + len(rows)


def _wait_until_gone(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.001)


def _manifest(reader: HomeReader) -> Manifest:
    cursor = reader.cursor("r", "store")
    return Manifest() if cursor is None or cursor.state is None else Manifest.load(cursor.state)


def _is_half_written(reader: HomeReader) -> bool:
    folder = reader.home.run("r") / FOLDER
    named = {file for part in _manifest(reader).parts for file in part.files}
    return folder.exists() and not {path.name for path in folder.iterdir()} <= named


def _fault_of(reader: HomeReader, *, is_thorough: bool) -> str | None:
    for one in (reader, open_home(reader.home.path)) if is_thorough else (reader,):
        found = [point for chunk in one.columns("r") for point in as_tuples(chunk)]
        expected = [tuple(point) for point in one.points("r")]
        if found != expected:
            return f"{len(found)} points in parts and tail, {len(expected)} in the journal"
        if one.notices:
            return one.notices[0]
    problems = verify_run(reader, "r").problems if is_thorough else []
    return str(problems) if problems else None


def _compare_with_one_that_lived(home: Path, tally: Tally) -> None:
    deliver(home, "r", sizes=MIDDLING)
    other = home.parent / "other"
    journal = Path("runs", "r", "journal")
    shutil.copytree(home / journal, other / journal)
    deliver(other, "r", sizes=MIDDLING)
    named = {file for part in _manifest(open_home(home)).parts for file in part.files}
    mine = {name: data for name, data in part_files(home, "r").items() if name in named}
    if mine != part_files(other, "r"):
        tally.failures.append("the parts are others than those of a worker that lived")
    if fault := _fault_of(open_home(home), is_thorough=True):
        tally.failures.append(f"in the end: {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture.store_kills", description=__doc__
    )
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = torture((Path(folder) / "home").resolve(), asked.count, asked.seed)
    print(
        f"{tally.kills} kills, {tally.half_written} of them with something half written,"
        f" {tally.points} points in {time.monotonic() - began:.0f} s: {len(tally.failures)} failures"
    )
    print(*tally.failures[:5], sep="\n")
    return bool(tally.failures)


if __name__ == "__main__":
    sys.exit(main())
