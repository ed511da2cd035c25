"""What the machine and a training process do: CPU, memory, disk, network. Rates are since the last reading.

All sizes are bytes, all rates bytes per second. A value that the system does not give is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TypeAlias

import psutil

Values: TypeAlias = dict[str, float | int]


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

    def read(self, pid: int, prefix: str) -> Values:
        """CPU (100 = one core), resident memory and threads of a process tree; empty when it is gone."""
        try:
            root = self._process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            self._known.pop(pid, None)
            return {}
        cpu, rss, threads = 0.0, 0, 0
        for process in (self._process(member.pid, member) for member in tree):
            with contextlib.suppress(psutil.Error), process.oneshot():
                cpu += process.cpu_percent()
                rss += process.memory_info().rss
                threads += process.num_threads()
        return {
            f"{prefix}/cpu_percent": cpu,
            f"{prefix}/memory_rss_bytes": rss,
            f"{prefix}/threads": threads,
            f"{prefix}/processes": len(tree),
        }

    def forget(self, alive: Iterable[int]) -> None:
        """Drop what is known of processes outside the trees of these."""
        if len(self._known) > 4096:
            kept = set(alive)
            self._known = {pid: process for pid, process in self._known.items() if pid in kept}

    def _process(self, pid: int, found: psutil.Process | None = None) -> psutil.Process:
        """The process object that remembers the last reading, for CPU since then."""
        known = self._known.get(pid)
        if known is None or (found is not None and known != found):
            known = self._known[pid] = found or psutil.Process(pid)
        return known
