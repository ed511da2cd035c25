"""All benchmarks: `python -m benchmarks [--quick] [--only NAME …] [--json FILE] [--plot FILE.png]`."""

from __future__ import annotations

import time

from benchmarks import machine, show
from benchmarks.harness import (
    ROOT,
    Plan,
    benchmark_names,
    end_on_signals,
    finish,
    options_of,
    run_benchmark,
)
from benchmarks.results import Session, save


def main() -> None:
    names = benchmark_names()
    parser = options_of("Run all benchmarks; the result also stands in benchmarks/results/.")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    options = parser.parse_args()
    end_on_signals()
    session = Session(machine.describe(), [], options.quick)
    path = ROOT / "benchmarks" / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    began = time.monotonic()
    for number, name in enumerate(options.only, 1):
        with show.progress() as say:
            prefix = f"{number}/{len(options.only)} {name.removeprefix('bench_')}"
            plan = Plan(options.quick, lambda text, prefix=prefix: say(f"{prefix}: {text}"))
            session.reports.append(run_benchmark(name, plan))
        show.print_report(session.reports[-1])
        save(session, path)  # after each, so that an interrupted pass leaves what it has
    show.print_machine(session)
    show.print_goals(session.reports)
    show.console.print(f"{time.monotonic() - began:.0f} s; written to {path.relative_to(ROOT)}")
    finish(session, options)


if __name__ == "__main__":
    main()
