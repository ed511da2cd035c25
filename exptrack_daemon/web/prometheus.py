"""`/metrics`: home, daemon, sinks and machine in Prometheus' text format. Pure.

All are gauges: what stands in the home folder now, less than before when runs are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exptrack_daemon.web.vitals import Vitals

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATUSES = ("running", "finished", "failed", "crashed", "preempted")
_SINK_STATUSES = ("live", "lagging", "done", "unavailable", "broken", "unreadable")
_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Sample:
    value: float
    labels: Mapping[str, str]


def render(vitals: Vitals) -> str:
    """The whole page."""
    return "".join(_lines(name, text, samples) for name, text, samples in _families(vitals))


def _families(vitals: Vitals) -> Iterator[tuple[str, str, list[Sample]]]:
    daemon, node = vitals.daemon, vitals.node
    up = bool(daemon.get("running")) and bool(daemon.get("responding", True))
    yield "daemon_up", "Whether the daemon runs and answers.", [_plain(up)]
    if up and daemon.get("started_ns"):
        since = (vitals.now_ns - int(daemon["started_ns"])) / 1e9
        yield "daemon_uptime_seconds", "How long the daemon has been running.", [_plain(since)]
        info = Sample(1, {"version": str(daemon.get("version", ""))})
        yield "daemon_info", "The daemon's version.", [info]
    statuses = dict.fromkeys(_STATUSES, 0) | dict(vitals.runs)
    yield "runs", "Runs in the home folder.", _labelled("status", statuses)
    yield from _sink_families(vitals)
    lost = dict(sorted(vitals.lost.items(), key=lambda pair: -pair[1])[:_MOST_REASONS])
    yield "lost_items_sum", "Items in the runs' loss ledgers.", [_plain(sum(vitals.lost.values()))]
    yield "lost_items", "The same by reason, the commonest twenty.", _labelled("reason", lost)
    yield "home_disk_free_bytes", "Free on the home's disk.", [_plain(vitals.disk_free_bytes)]
    yield "home_disk_size_bytes", "Size of the home's disk.", [_plain(vitals.disk_total_bytes)]
    yield "node_memory_size_bytes", "Memory there is.", [_plain(vitals.memory_total_bytes)]
    for key, (name, text, scale) in _NODE.items():
        if key in node:
            yield name, text, [_plain(node[key] * scale)]
    for key, (name, text, scale) in _GPU.items():
        samples = [Sample(value * scale, {"gpu": gpu}) for gpu, value in _gpus(node, key)]
        if samples:
            yield name, text, samples


def _sink_families(vitals: Vitals) -> Iterator[tuple[str, str, list[Sample]]]:
    sinks = vitals.sinks
    by_status = [
        Sample(sink.runs[status], {"sink": sink.name, "status": status})
        for sink in sinks
        for status in _SINK_STATUSES
    ]
    if sinks:
        yield "sink_runs", "Runs that a sink has a cursor for.", by_status
        lag = {sink.name: sink.lag_rows for sink in sinks}
        yield "sink_lag_rows", "Rows that a sink has not taken yet.", _labelled("sink", lag)
        dead = {sink.name: sink.dead_letters for sink in sinks}
        yield "sink_dead_letters", "Batches that a sink never takes.", _labelled("sink", dead)


_NODE = {
    "system/cpu_percent": ("node_cpu_ratio", "CPU in use, of all cores.", 0.01),
    "system/load_1m": ("node_load_1m", "Processes that want a core, over a minute.", 1),
    "system/memory_used_bytes": ("node_memory_used_bytes", "Memory in use.", 1),
    "system/disk_read_bytes_per_s": ("node_disk_read_bytes_per_second", "Read from disks.", 1),
    "system/disk_write_bytes_per_s": ("node_disk_write_bytes_per_second", "Written to disks.", 1),
}
_GPU = {
    "utilization_percent": ("gpu_utilization_ratio", "Share of time that a kernel ran.", 0.01),
    "memory_used_bytes": ("gpu_memory_used_bytes", "GPU memory in use.", 1),
    "temperature_celsius": ("gpu_temperature_celsius", "GPU temperature.", 1),
    "power_watts": ("gpu_power_watts", "GPU power.", 1),
}


def _gpus(node: Mapping[str, float], key: str) -> Iterator[tuple[str, float]]:
    for name, value in node.items():
        parts = name.split("/")
        if parts[:2] == ["system", "gpu"] and parts[3:] == [key]:
            yield parts[2], value


def _plain(value: float) -> Sample:
    return Sample(value, {})


def _labelled(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [Sample(value, {label: name}) for name, value in values.items()]


def _lines(name: str, text: str, samples: Iterable[Sample]) -> str:
    name = f"exptrack_{name}"
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    for sample in samples:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
        lines.append(
            f"{name}{{{labels}}} {_number(sample.value)}"
            if labels
            else f"{name} {_number(sample.value)}"
        )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    plain = text.encode("utf-8", "replace").decode()[:200]
    return plain.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) or float(value).is_integer() else repr(value)
