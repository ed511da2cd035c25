"""The health document as rows of words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exptrack_daemon.web.studio.watching import span

_GIB = 1024**3
_LOW_BYTES = 5 * _GIB
_LOW_SHARE = 0.05


def health_rows(health: Mapping[str, Any]) -> list[list[str]]:
    """What, how it is, and more: daemon, each sink, losses, disk, processor, memory, GPUs, notices."""
    sinks = [_sink(sink) for sink in health["sinks"]]
    notices = [["Notice", "", str(notice)] for notice in health["notices"]]
    rest = [*_lost(health), _disk(health["disk"]), *_node(health["node"])]
    return [_daemon(health["daemon"]), *sinks, *rest, *notices]


def _daemon(daemon: Mapping[str, Any]) -> list[str]:
    if not daemon["running"]:
        more = "rows wait safely; training starts one by itself, or: exptrack daemon start"
        return ["Daemon", "stopped", more]
    if not daemon["responding"]:
        return ["Daemon", "does not answer", "it may be starting or ending: exptrack daemon status"]
    words = [f"pid {daemon['pid']}", f"version {daemon['version']}"]
    if daemon["uptime_s"] is not None:
        words.append(f"for {span(daemon['uptime_s'])}")
    return ["Daemon", "running", ", ".join(words)]


def _sink(sink: Mapping[str, Any]) -> list[str]:
    words = [f"{sink['runs']:,} {'run' if sink['runs'] == 1 else 'runs'}"]
    if sink["lag_rows"]:
        words.append(f"{sink['lag_rows']:,} rows behind")
    if sink["dead_letters"]:
        words.append(f"{sink['dead_letters']:,} refused")
    if sink["reason"]:
        words.append(sink["reason"])
    return [f"Sink {sink['name']}", sink["status"], ", ".join(words)]


def _lost(health: Mapping[str, Any]) -> list[list[str]]:
    lost = health["lost_items"]
    return [["Losses", f"{lost:,} items", "each run's ledger says which and why"]] if lost else []


def _disk(disk: Mapping[str, Any]) -> list[str]:
    free, total = disk["free_bytes"], disk["total_bytes"]
    if not total:
        return ["Disk", "unknown", ""]
    is_low = free < _LOW_BYTES or free < _LOW_SHARE * total
    return ["Disk", "low" if is_low else "fine", f"{_size(free)} free of {_size(total)}"]


def _node(node: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    if node["cpu_percent"] is not None:
        load = f"load {node['load_1m']:.1f}" if node["load_1m"] is not None else ""
        rows.append(["Processor", f"{node['cpu_percent']:.0f} %", load])
    used, total = node["memory_used_bytes"], node["memory_total_bytes"]
    if used is not None and total:
        rows.append(["Memory", f"{100 * used / total:.0f} %", f"{_size(used)} of {_size(total)}"])
    gpus = [_gpu(gpu) for gpu in node["gpus"]]
    return [*rows, *(gpus or [["GPU", "none", "no NVIDIA GPU is seen on this machine"]])]


def _gpu(gpu: Mapping[str, Any]) -> list[str]:
    busy = gpu.get("utilization_percent")
    rest = [f"{name} {value:g}" for name, value in gpu.items() if _is_shown(name, value)]
    state = "unknown" if busy is None else f"{busy:.0f} %"
    return [f"GPU {gpu['index']}", state, ", ".join(rest)]


def _is_shown(name: str, value: Any) -> bool:
    return name not in ("index", "utilization_percent") and isinstance(value, int | float)


def _size(amount: float) -> str:
    if amount >= _GIB:
        return f"{amount / _GIB:,.1f} GiB"
    return f"{amount / 1024**2:,.0f} MiB"
