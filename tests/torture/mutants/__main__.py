"""Plants bugs, one at a time, in a copy of the packages, and sees whether the tests notice.

    python -m tests.torture.mutants                      all of them, and a table
    python -m tests.torture.mutants --only fsync         those with that in their name
    python -m tests.torture.mutants --every 8            a sample

Exits with 1 if a bug went unnoticed, or if the tests fail without one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.torture.mutants import journal, pipeline, store
from tests.torture.mutants.mutant import Mutant

ROOT = Path(__file__).parents[3]
MUTANTS = (*journal.MUTANTS, *pipeline.MUTANTS, *store.MUTANTS)
_COPIED = ("exptrack_agent", "exptrack_daemon", "proto", "tests")
_LIMIT_S = 180


@dataclass(frozen=True)
class Outcome:
    """What the tests said to a bug; None: to no bug at all."""

    mutant: Mutant | None
    check: str
    is_caught: bool
    seconds: float
    last_words: str


class Copy:
    """A copy of the packages and their tests, in which one bug at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "static", "vectors.bak")
        for name in _COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def judge(self, mutant: Mutant | None, check: str) -> Outcome:
        began = time.monotonic()
        if mutant is None:
            failed, words = self._run(check)
            return Outcome(None, check, failed, time.monotonic() - began, words)
        path = self.folder / mutant.path
        right = path.read_text()
        path.write_text(mutant.applied(right))
        try:
            failed, words = self._run(check)
        finally:
            path.write_text(right)
        return Outcome(mutant, check, failed, time.monotonic() - began, words)

    def _run(self, check: str) -> tuple[bool, str]:
        arguments = shlex.split(check)
        if arguments[0] != "-m":
            arguments = [
                "-m",
                "pytest",
                "-x",
                "-q",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                *arguments,
            ]
        paths = f"{self.folder}{os.pathsep}{self.folder / 'proto'}"
        try:
            done = subprocess.run(
                [sys.executable, "-B", *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return True, "it hung"
        lines = (done.stdout + done.stderr).strip().splitlines()
        return done.returncode != 0, lines[-1] if lines else ""


def judge_all(
    mutants: Sequence[Mutant],
    copies: int = 1,
    say: Callable[[Outcome], None] = lambda _: None,
    *,
    as_they_are: bool = True,
) -> list[Outcome]:
    """First the checks as they are, which must pass; then each bug; each is said as soon as it is known."""
    asked: list[tuple[Mutant | None, str]] = []
    if as_they_are:
        asked += [(None, check) for check in dict.fromkeys(mutant.check for mutant in mutants)]
    asked += [(mutant, mutant.check) for mutant in mutants]
    free: SimpleQueue[Copy] = SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(copies) as pool:
        for number in range(copies):
            free.put(Copy(Path(folder) / str(number)))

        def one(question: tuple[Mutant | None, str]) -> Outcome:
            copy = free.get()
            try:
                outcome = copy.judge(*question)
            finally:
                free.put(copy)
            say(outcome)
            return outcome

        return list(pool.map(one, asked))


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Bugs that went unnoticed, and checks that fail without one."""
    unnoticed = [o.mutant.name for o in outcomes if o.mutant is not None and not o.is_caught]
    broken = [
        f"{o.check} fails as it is: {o.last_words}"
        for o in outcomes
        if o.mutant is None and o.is_caught
    ]
    return unnoticed + broken


def _say(outcome: Outcome) -> None:
    if outcome.mutant is None:
        verdict, name = "FAILS " if outcome.is_caught else "passes", "(no bug)"
    else:
        verdict, name = "caught" if outcome.is_caught else "MISSED", outcome.mutant.name
    print(f"{verdict}  {outcome.seconds:5.1f} s  {name:58}  {outcome.check}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="bugs with this in their name")
    parser.add_argument("--every", type=int, default=1, help="only each n-th")
    parser.add_argument("--copies", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if asked.only in mutant.name][:: asked.every]
    wrong = failures(judge_all(mutants, asked.copies, _say))
    print(f"{len(mutants)} bugs; {len(wrong)} failures", *wrong, sep="\n  ")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
