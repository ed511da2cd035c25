"""Fuzz what reads bytes from anywhere.

    python -m tests.fuzz --target decoder --seconds 60 --seed 1
    python -m tests.fuzz --seconds 600        all targets, so many seconds each

Findings are written to --keep, named by their content; move one to tests/fuzz/corpus/TARGET/ with the mend.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time
from pathlib import Path

from tests.fuzz.harness import Fuzzed, fuzz
from tests.fuzz.targets import TARGETS


def main(arguments: list[str] | None = None) -> int:
    """Fuzz as asked; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--keep", type=Path, help="folder for inputs that found something")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # recovery says of each damage what it found
    seed = options.seed or time.time_ns() % 2**32
    names = list(TARGETS) if options.target == "all" else [options.target]
    is_clean = True
    for name in names:
        target = TARGETS[name]()
        try:
            done = fuzz(target, seed, seconds=options.seconds)
        finally:
            target.close()
        _tell(name, seed, done, options.keep)
        is_clean = is_clean and not done.findings
    return 0 if is_clean else 1


def _tell(name: str, seed: int, done: Fuzzed, keep: Path | None) -> None:
    print(
        f"{name}: {done.inputs:,} inputs (seed {seed}), slowest {done.slowest_s * 1e3:.2f} ms CPU,"
        f" most growth seen {done.most_growth_bytes / 2**20:.1f} MiB, findings: {len(done.findings)}",
        flush=True,
    )
    for finding in done.findings:
        digest = hashlib.sha256(finding.data).hexdigest()[:12]
        print(f"  {digest} {finding.what}: {finding.data[:60]!r}", flush=True)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}-{digest}.bin").write_bytes(finding.data)


if __name__ == "__main__":
    sys.exit(main())
