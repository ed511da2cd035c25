"""What the benchmarks share: options, repeats, the result as table, JSON and picture.

A benchmark is a file `bench_….py` with a `QUESTION`, its `GOALS`, and a function `run(plan, report)`; its
last lines are `if __name__ == "__main__": main(__file__)`. `python -m benchmarks` runs them all.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks import machine, show
from benchmarks.results import Report, Session, save

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly to measure, and where to say how far we are."""

    is_quick: bool
    say: Callable[[str], None]
    only: Sequence[str] = ()
    """Of a benchmark with `PARTS` the ones to run; empty: all."""

    def pick(self, full: T, quick: T) -> T:
        """The first for a full pass, the second for a quick one."""
        return quick if self.is_quick else full

    def wants(self, part: str) -> bool:
        """Whether this part of the benchmark was asked for."""
        return not self.only or part in self.only


def benchmark_names() -> list[str]:
    """All benchmarks, by name of file."""
    return sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def run_benchmark(name: str, plan: Plan) -> Report:
    """Run one benchmark."""
    module = importlib.import_module(f"benchmarks.{name}")
    report = Report(name.removeprefix("bench_"), module.QUESTION, goals=list(module.GOALS))
    before, began = machine.ProcessorTime(), time.monotonic()
    module.run(plan, report)
    report.wall_s = time.monotonic() - began
    report.stolen_share = machine.stolen_share(before, machine.ProcessorTime())
    report.goals = [goal for goal in report.goals if goal.measure in report.measures]
    return report


def options_of(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the result there")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="write the goals there")
    return parser


def end_on_signals() -> None:
    """SIGTERM ends a benchmark as Ctrl-C does: what it started is stopped, what it wrote removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(file: str) -> None:
    """Run one benchmark from the command line."""
    name = Path(file).stem
    module = importlib.import_module(f"benchmarks.{name}")
    parser = options_of(module.QUESTION)
    if parts := getattr(module, "PARTS", ()):
        parser.add_argument("--only", nargs="+", choices=parts, default=(), metavar="PART")
    options = parser.parse_args()
    end_on_signals()
    about = machine.describe()
    with show.progress() as say:
        report = run_benchmark(name, Plan(options.quick, say, getattr(options, "only", ())))
    session = Session(about, [report], options.quick)
    show.print_machine(session)
    show.print_report(report)
    finish(session, options)


def finish(session: Session, options: argparse.Namespace) -> None:
    """Write what was asked for."""
    if options.json:
        save(session, options.json)
    if options.markdown:
        options.markdown.write_text(show.goals_markdown(session.reports))
    if options.plot:
        show.plot(session, options.plot)
