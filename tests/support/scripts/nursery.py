"""Forks trainers on request, so that one costs milliseconds: each line on stdin is a run's name and a seed.

A trainer logs until it is killed. After each `log()` that returned it stores how many there were, in one
8-byte store into a mapped file: what it says survives SIGKILL, and is what the judge holds the daemon to.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import exptrack_agent as xt


def train(name: str, seed: int, counts: Path) -> None:
    """Log rows in bursts, for ever."""
    dice = random.Random(seed)
    with (counts / name).open("w+b") as file:
        file.truncate(8)
        returned = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    run = xt.init("kills", name=name, run_id=name, autostart=False)
    step = 0
    while True:
        for _ in range(dice.randint(1, 12)):
            run.log({"loss": step / 2, "seed": seed}, step=step)
            step += 1
            returned[0] = step
        time.sleep(dice.uniform(0, 0.004))


def main() -> None:
    """Fork a trainer for each line; its pid goes to stdout."""
    counts = Path(sys.argv[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        name, seed = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                train(name, int(seed), counts)
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
