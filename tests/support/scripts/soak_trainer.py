"""A trainer of the soak: logs at the rate it is told, for ever; SIGTERM ends it as a good run.

Arguments: the run's name, and a file with two aligned u64: how many `log()` calls returned, and how many rows
a second are wanted, which may change at any time.
"""

from __future__ import annotations

import mmap
import signal
import sys
import time
from pathlib import Path

import exptrack_agent as xt

_ROUND_S = 0.005


def main() -> None:
    name, place = sys.argv[1], Path(sys.argv[2])
    with place.open("r+b") as file:
        cells = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    run = xt.init("soak", name=name, run_id=name, autostart=False)
    step, owed, before = 0, 0.0, time.monotonic()
    while not ended:
        now = time.monotonic()
        owed = min(
            owed + (now - before) * cells[1], 0.2 * cells[1]
        )  # what was slept through is gone
        before = now
        while owed >= 1:
            run.log({"loss": step / 2, "other": 0.25}, step=step)
            step += 1
            cells[0] = step
            owed -= 1
        time.sleep(_ROUND_S)
    run.finish(timeout_s=30)


if __name__ == "__main__":
    main()
