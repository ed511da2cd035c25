"""`health` and `/metrics`: how daemon, sinks and machine are."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.web.api.answers import Strict
from exptrack_daemon.web.prometheus import MEDIA_TYPE, render
from exptrack_daemon.web.state import studio_of
from exptrack_daemon.web.vitals import SinkSum, Vitals


async def show_health(request: Request) -> Response:
    """For the page's head line."""
    return Strict(health_document(await _look(request)))


async def show_prometheus(request: Request) -> Response:
    """For a scraper, which sends the token as `Authorization: Bearer`."""
    return Response(render(await _look(request)), media_type=MEDIA_TYPE)


async def _look(request: Request) -> Vitals:
    studio = studio_of(request)
    return await studio.readers.ask(studio.watch.look, "health")


def health_document(vitals: Vitals) -> dict[str, Any]:
    """What a page shows. Pure."""
    daemon, node = vitals.daemon, vitals.node
    started_ns = daemon.get("started_ns")
    return {
        "daemon": {
            "running": bool(daemon.get("running")),
            "responding": bool(daemon.get("responding", daemon.get("running"))),
            "pid": daemon.get("pid"),
            "version": daemon.get("version"),
            "uptime_s": (vitals.now_ns - started_ns) / 1e9 if started_ns else None,
        },
        "runs": dict(vitals.runs),
        "sinks": [_sink(sink) for sink in vitals.sinks],
        "lost_items": sum(vitals.lost.values()),
        "disk": {"free_bytes": vitals.disk_free_bytes, "total_bytes": vitals.disk_total_bytes},
        "node": {
            "cpu_percent": node.get("system/cpu_percent"),
            "load_1m": node.get("system/load_1m"),
            "memory_used_bytes": node.get("system/memory_used_bytes"),
            "memory_total_bytes": vitals.memory_total_bytes,
            "gpus": gpus_of(node),
        },
        "notices": vitals.notices,
    }


def gpus_of(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The sampler's values by GPU."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in node.items():
        parts = name.split("/")
        if parts[:2] == ["system", "gpu"] and len(parts) == 4:
            found.setdefault(parts[2], {"index": int(parts[2])})[parts[3]] = value
    return list(found.values())


def _sink(sink: SinkSum) -> dict[str, Any]:
    return {
        "name": sink.name,
        "status": sink.status,
        "reason": sink.reason,
        "runs": sum(sink.runs.values()),
        "lag_rows": sink.lag_rows,
        "dead_letters": sink.dead_letters,
    }


ROUTES = [Route("/health", show_health)]
PROMETHEUS = Route("/metrics", show_prometheus)
