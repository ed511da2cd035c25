"""What the benchmarks ran on: processor, system, versions, and how much of the machine others took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from array import array
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.stats import quantile

_PACKAGES = ("msgpack", "pyzmq", "msgspec", "numpy", "torch", "tensorboard", "psutil", "protobuf")


def describe() -> dict[str, Any]:
    """The machine and everything whose version matters."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split(" ", 1)[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "disk": _file_system(Path(tempfile.gettempdir())),
        "load_1m": os.getloadavg()[0],
        "busy_cores_before": round(busy_cores(0.5), 2),
        "timer_ns": timer_ns(),
    }


def timer_ns() -> float:
    """What two readings of the clock cost, one after another; part of every latency, never taken off."""
    clock = time.perf_counter_ns
    costs = array("q", bytes(8 * 20_000))
    for index in range(len(costs)):
        began = clock()
        costs[index] = clock() - began
    return quantile(sorted(costs), 0.5)


class ProcessorTime:
    """Counts of /proc/stat, in ticks."""

    def __init__(self) -> None:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, idle, iowait, irq, softirq, stolen = map(int, fields)
        self.busy = user + nice + system + irq + softirq
        self.stolen = stolen
        self.all = self.busy + idle + iowait + stolen


def stolen_share(before: ProcessorTime, after: ProcessorTime) -> float:
    """How much of the processors' time the hypervisor gave to other machines."""
    return round((after.stolen - before.stolen) / max(1, after.all - before.all), 4)


def busy_cores(seconds: float) -> float:
    """Cores that others keep busy while this process sleeps."""
    before = ProcessorTime()
    time.sleep(seconds)
    after = ProcessorTime()
    return (after.busy - before.busy) / os.sysconf("SC_CLK_TCK") / seconds


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "-"


def _file_system(path: Path) -> str:
    """The kind of file system that holds a path: what a sync costs depends on it."""
    best, kind = "", "-"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) > len(best):
            best, kind = mount, found
    return kind
