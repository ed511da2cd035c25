"""A training process that uses one tracker. Run as a file by the tracker's own Python; options are JSON."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from adapters import TRACKERS  # the folder has to be found first

_BLOCK = bytes(64 * 1024)
CLOCK = time.perf_counter_ns


def calls(tracker: str, folder: str, count: int, wide: int) -> dict[str, Any]:
    """Single calls, 1 ms apart as in training, and how long the ends take."""
    began = CLOCK()
    run = TRACKERS[tracker](Path(folder))
    opened_ns = CLOCK() - began
    ten = {f"m{number}": number * 0.37 for number in range(10)}
    costs = []
    for step in range(count):
        began = CLOCK()
        run.log(ten, step)
        costs.append(CLOCK() - began)
        work(200)
    broad = {f"w{number}": number * 0.37 for number in range(2_000)}
    wides = []
    for step in range(wide):
        began = CLOCK()
        run.log(broad, count + step)
        wides.append(CLOCK() - began)
        time.sleep(0.01)
    began = CLOCK()
    run.finish()
    finish_ns = CLOCK() - began
    return {
        "open_ms": opened_ns / 1e6,
        "finish_ms": finish_ns / 1e6,
        "p50_us": share(costs, 0.5) / 1e3,
        "p99_us": share(costs, 0.99) / 1e3,
        "max_us": max(costs) / 1e3,
        "wide_ms": share(wides, 0.5) / 1e6 if wides else None,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def slowdown(tracker: str, folder: str, rounds: int, steps: int) -> dict[str, Any]:
    """Steps of about 1 ms with 20 metrics, in blocks that take turns with untracked ones."""
    run = TRACKERS[tracker](Path(folder))
    names = [f"m{number}" for number in range(20)]
    plain, tracked, step = [], [], 0
    for number in range(rounds + 1):
        for is_tracked in (number % 2 == 0, number % 2 == 1):
            began = CLOCK()
            for _ in range(steps):
                loss = work(1_000)
                if is_tracked:
                    run.log(dict.fromkeys(names, loss), step)
                    step += 1
            if number:  # the first round warms up
                (tracked if is_tracked else plain).append(CLOCK() - began)
    run.finish()
    return {"ratio": share(tracked, 0.5) / share(plain, 0.5)}


def endure(tracker: str, folder: str, counter: str, seconds: float) -> dict[str, Any]:
    """Log for a while, counting in a file the calls that returned; to be killed or watched meanwhile."""
    run = TRACKERS[tracker](Path(folder))
    with Path(counter).open("r+b") as file, mmap.mmap(file.fileno(), 16) as shared:
        cells = memoryview(shared).cast("Q")
        row = {f"m{number}": 0.0 for number in range(10)}
        step, worst, end = 0, 0, time.monotonic() + seconds
        while time.monotonic() < end:
            row["m0"] = float(step)
            began = CLOCK()
            run.log(row, step)
            worst = max(worst, CLOCK() - began)
            step += 1
            cells[0] = step
            work(300)
        cells.release()
    watch = threading.Timer(60, os._exit, [9])  # some never come back from here
    watch.daemon = True
    watch.start()
    try:
        run.finish()
    except Exception as error:  # noqa: BLE001  # that is what is asked
        return {
            "worst_ms": worst / 1e6,
            "rows": step,
            "error": f"{type(error).__name__}: {error}"[:200],
        }
    return {"worst_ms": worst / 1e6, "rows": step, "error": ""}


def work(microseconds: int) -> float:
    """Half plain Python, half a call that lets go of the interpreter's lock, as training does."""
    end = CLOCK() + microseconds * 1000
    digest = b""
    while CLOCK() < end:
        digest = hashlib.sha256(_BLOCK).digest()
        for _ in range(500):
            pass
    return digest[0] / 256 if digest else 0.5


def share(values: list[int], part: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(part * len(ordered)))])


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    os.chdir(options["folder"])
    tempfile.tempdir = options["folder"]
    told = globals()[options.pop("do")](**options)
    sys.stdout.write(f"\nANSWER {json.dumps(told)}\n")
    sys.stdout.flush()
    os._exit(0)
