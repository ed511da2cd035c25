"""What the machine and a training process do: CPU, memory, disk, network. Rates are since the last reading.

All sizes are bytes, all rates bytes per second. A value that the system does not give is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import psutil

Values: TypeAlias = dict[str, float | int]

_PROC_SELF = Path("/proc/self/stat")


class HostSampler:
    """Readings of the node."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}
        self._read_at: float | None = None
        psutil.cpu_percent()  # the first call only sets the beginning of the interval

    def read(self, now: float) -> Values:
        """The node's values at `now` (monotonic seconds)."""
        memory = psutil.virtual_memory()
        values: Values = {
            "system/cpu_percent": psutil.cpu_percent(),
            "system/load_1m": os.getloadavg()[0],
            "system/memory_used_bytes": memory.total - memory.available,
            "system/memory_percent": memory.percent,
        }
        values |= self._rates(now)
        return values

    def _rates(self, now: float) -> Values:
        counters = _io_counters()
        before, self._counters = self._counters, counters
        since, self._read_at = self._read_at, now
        if since is None or now <= since:
            return {}
        return {
            f"system/{name}_bytes_per_s": max(0, value - before[name]) / (now - since)
            for name, value in counters.items()
            if name in before
        }


def _io_counters() -> dict[str, int]:
    counters: dict[str, int] = {}
    with contextlib.suppress(OSError, RuntimeError):
        if (disk := psutil.disk_io_counters()) is not None:
            counters |= {"disk_read": disk.read_bytes, "disk_write": disk.write_bytes}
    with contextlib.suppress(OSError, RuntimeError):
        if network := psutil.net_io_counters():
            counters |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
    return counters


class ProcessSampler:
    """Readings of training processes with all their children."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._seen: set[int] = set()
        self._children: dict[int, list[int]] = {}

    def look(self) -> None:
        """Begin a round: see which processes there are, once for all trees."""
        self._known = {pid: known for pid, known in self._known.items() if pid in self._seen}
        self._seen = set()
        self._children = _children_by_parent()

    def read(self, pid: int, prefix: str) -> Values:
        """CPU (100 = one core), resident memory and threads of a process tree; empty when it is gone.

        A process's first reading only begins its interval; until the root has one, there is no CPU value.
        """
        is_first = pid not in self._known
        cpu, rss, threads, count = 0.0, 0, 0, 0
        for member in self._tree(pid):
            with contextlib.suppress(psutil.Error):
                process = self._process(member)
                with process.oneshot():
                    cpu += process.cpu_percent()
                    rss += process.memory_info().rss
                    threads += process.num_threads()
                    count += 1
        if not count:
            return {}
        values: Values = {
            f"{prefix}/memory_rss_bytes": rss,
            f"{prefix}/threads": threads,
            f"{prefix}/processes": count,
        }
        return values if is_first else {f"{prefix}/cpu_percent": cpu, **values}

    def _tree(self, pid: int) -> list[int]:
        tree = [pid] if pid in self._seen or psutil.pid_exists(pid) else []
        for member in tree:
            tree.extend(self._children.get(member, ()))
        return tree

    def _process(self, pid: int) -> psutil.Process:
        """The process object that remembers the last reading, for CPU since then."""
        self._seen.add(pid)
        known = self._known.get(pid)
        if known is None or not known.is_running():
            known = self._known[pid] = psutil.Process(pid)
        return known


def _children_by_parent() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    return children


def _parents() -> Iterator[tuple[int, int]]:
    """Every process and its parent; straight from Linux's /proc, which costs a third of asking psutil."""
    if not _PROC_SELF.exists():
        for process in psutil.process_iter(["ppid"]):
            yield process.pid, process.info["ppid"]
        return
    for name in os.listdir(_PROC_SELF.parent.parent):  # noqa: PTH208  # names only, thousands of them
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                yield int(name), _parent(name)


def _parent(pid: str) -> int:
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, 512)
    finally:
        os.close(descriptor)
    return int(text[text.rindex(b")") :].split()[2])
