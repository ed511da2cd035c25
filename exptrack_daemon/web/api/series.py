"""`metrics`, `charts`, `points`, `system`: names of series, their cells for drawing, their rows as logged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.web.api.answers import Strict, Wrong
from exptrack_daemon.web.api.parameters import (
    MOST_NAMES,
    MOST_RUNS,
    document,
    edge,
    listed,
    one_of,
    run_ids,
    texts,
    whole,
)
from exptrack_daemon.web.api.runs import seen_run, seen_runs
from exptrack_daemon.web.state import studio_of

if TYPE_CHECKING:  # numpy is only loaded once something is drawn
    from exptrack_daemon.store.series import Metric, Series
    from exptrack_daemon.web.charts import Drawn, Question, X

FRAME = "application/vnd.exptrack.frame"
_MOST_CELLS = 2_000_000
_MOST_POINTS = 10_000
_NS_PER_MS = 1_000_000
_KNOWN = ("runs", "names", "x", "lo", "hi", "cells", "stats", "rank", "system")


async def list_metrics(request: Request) -> Response:
    """The metrics of these runs together: how many points, in how many of the runs."""
    studio, asked = studio_of(request), request.query_params
    runs = await seen_runs(studio, run_ids(listed(asked.get("runs", ""))))
    word = asked.get("q", "").casefold()
    found = await studio.readers.ask(
        lambda reader: [studio.charts.metrics(reader, run) for run in runs], "long"
    )
    merged = _merged(metric for metrics in found for metric in metrics)
    return Strict({"metrics": [one for one in merged if word in one["name"].casefold()]})


async def list_system(request: Request) -> Response:
    """The names of what the sampler wrote for the run."""
    studio = studio_of(request)
    run = await seen_run(studio, request.query_params.get("run", ""))
    found = await studio.readers.ask(lambda reader: studio.charts.metrics(reader, run), "long")
    return Strict({"metrics": _merged(metric for metric in found if metric.is_system)})


def _merged(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """One entry a name; the sampler's after the trainers'."""
    found: dict[tuple[bool, str], dict[str, Any]] = {}
    for metric in metrics:
        entry = found.setdefault(
            (metric.is_system, metric.name),
            {
                "name": metric.name,
                "points": 0,
                "runs": 0,
                "is_system": metric.is_system,
                "first_step": metric.first_step,
                "last_step": metric.last_step,
                "ranks": [],
            },
        )
        entry["points"] += metric.points
        entry["runs"] += 1
        entry["first_step"] = min(entry["first_step"], metric.first_step)
        entry["last_step"] = max(entry["last_step"], metric.last_step)
        entry["ranks"] = sorted({*entry["ranks"], *metric.ranks})
    return [found[key] for key in sorted(found)]


async def draw(request: Request) -> Response:
    """Cells of several metrics of several runs on one grid, as a frame, or as JSON when asked for."""
    studio = studio_of(request)
    asked = document(await request.body(), _KNOWN)
    wanted = run_ids(texts(asked, "runs", most=MOST_RUNS) or [])
    question = question_of(asked, len(wanted))
    cursor = studio.index.cursor()
    runs = await seen_runs(studio, wanted)
    is_json = "application/json" in request.headers.get("accept", "")

    def answer(reader: HomeReader) -> Response:
        drawn = studio.charts.draw(reader, runs, question)
        drawn.header["cursor"] = cursor
        return Strict(as_json(drawn)) if is_json else _frame(drawn)

    return await studio.readers.ask(answer, "long")


def _frame(drawn: Drawn) -> Response:
    from exptrack_daemon.web.frames import encode

    return Response(encode(drawn.header, drawn.values), media_type=FRAME)


def as_json(drawn: Drawn) -> dict[str, Any]:
    """The header, and the values as lists of lists, NaN by name."""
    return drawn.header | {"values": drawn.values.tolist()}


def question_of(asked: dict[str, Any], runs: int) -> Question:
    """The request's question, checked."""
    from exptrack_daemon.web.charts import STATS, Question

    names = texts(asked, "names", most=MOST_NAMES)
    if not names:
        raise Wrong("names is missing: give at least one metric's name")
    stats = texts(asked, "stats", most=len(STATS)) or ["mean", "min", "max"]
    for stat in stats:
        if stat not in STATS:
            raise Wrong(f"stats are {', '.join(STATS)}")
    x = one_of(asked, "x", ("step", "relative", "time"))
    unit = 1 if x == "step" else _NS_PER_MS
    lo, hi = edge(asked, "lo", unit=unit, up=False), edge(asked, "hi", unit=unit, up=True)
    if lo is not None and hi is not None and lo > hi:
        raise Wrong("lo is above hi")
    cells = whole(asked, "cells", 800, least=2, most=10_000)
    if runs * len(names) * cells > _MOST_CELLS:
        raise Wrong(
            f"{runs} runs × {len(names)} names × {cells} cells is more than {_MOST_CELLS:,};"
            " ask for fewer cells, or in several requests"
        )
    rank = whole(asked, "rank", 0, most=1 << 24)
    return Question(
        tuple(names), cast("X", x), lo, hi, cells, tuple(stats), rank, asked.get("system") is True
    )


async def compare_runs(request: Request) -> Response:
    """Configs and values of runs beside each other."""
    studio = studio_of(request)
    runs = await seen_runs(studio, run_ids(listed(request.query_params.get("runs", ""))))

    def answer(reader: HomeReader) -> Response:
        from exptrack_daemon.web.comparison import compare

        return Strict(compare(studio.charts, reader, runs))

    return await studio.readers.ask(answer, "long")


async def list_points(request: Request) -> Response:
    """Rows as logged, from `lo` on, up to a bound; `truncated` says when there are more."""
    studio, asked = studio_of(request), request.query_params
    run = await seen_run(studio, asked.get("run", ""))
    name = asked.get("name", "")
    lo, hi = edge(asked, "lo", unit=1, up=False), edge(asked, "hi", unit=1, up=True)
    rank = whole(asked, "rank", 0, most=1 << 24)
    is_system = asked.get("system", "") in ("1", "true")

    def read(reader: HomeReader) -> dict[str, Any]:
        found = reader.series(run.view, [name], rank=rank, system=is_system)[name]
        return points_document(found, lo, hi)

    return Strict(await studio.readers.ask(read, "long"))


def points_document(series: Series, lo: int | None, hi: int | None) -> dict[str, Any]:
    """The points between the steps lo and hi, both included."""
    begin = 0 if lo is None else int(series.steps.searchsorted(lo, "left"))
    end = len(series) if hi is None else int(series.steps.searchsorted(hi, "right"))
    shown = slice(begin, min(end, begin + _MOST_POINTS))
    rows = zip(
        series.steps[shown].tolist(),
        (series.times_ns[shown] / _NS_PER_MS).tolist(),
        series.values[shown].tolist(),
        strict=True,
    )
    points = [{"step": step, "time_ms": time_ms, "value": value} for step, time_ms, value in rows]
    total = max(0, end - begin)
    return {"points": points, "total": total, "truncated": total > len(points)}


ROUTES = [
    Route("/metrics", list_metrics),
    Route("/system", list_system),
    Route("/charts", draw, methods=["POST"]),
    Route("/points", list_points),
    Route("/compare", compare_runs),
]
