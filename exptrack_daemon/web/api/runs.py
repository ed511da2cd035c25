"""`runs`, `runs/{id}`, `columns`, `changes`: which runs there are, and what each one is."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.web.api.answers import Strict, Wrong
from exptrack_daemon.web.api.parameters import listed, run_id, whole
from exptrack_daemon.web.api.whole_run import whole_run
from exptrack_daemon.web.index import Seen
from exptrack_daemon.web.listing import columns, fits, head, ordered, value_of
from exptrack_daemon.web.state import Studio, studio_of

_PAGE = 100
_MOST_COLUMNS = 50


async def list_runs(request: Request) -> Response:
    """A page of the list, searched, filtered and sorted."""
    studio, asked = studio_of(request), request.query_params
    words = asked.get("q", "")[:500].casefold().split()
    wanted = listed(asked.get("columns", ""))
    if len(wanted) > _MOST_COLUMNS:
        raise Wrong(f"columns names {len(wanted)}; at most {_MOST_COLUMNS} go into one request")
    limit = whole(asked, "limit", _PAGE, most=_PAGE)
    offset = whole(asked, "offset", 0)

    def find(reader: HomeReader) -> tuple[list[Seen], str]:
        return [run for run in studio.index.all(reader) if fits(run.view, words)], (
            studio.index.cursor()
        )

    found, cursor = await studio.readers.ask(find)
    if asked.get("sort"):
        found = ordered(found, asked["sort"])
    page = found[offset : offset + limit]
    rows = [head(run) | {"values": {name: value_of(run, name) for name in wanted}} for run in page]
    return Strict({"runs": rows, "total": len(found), "cursor": cursor})


async def show_run(request: Request) -> Response:
    """All about one run."""
    seen = await seen_run(studio_of(request), request.path_params["id"])
    return Strict(await studio_of(request).readers.ask(lambda reader: whole_run(reader, seen)))


async def show_columns(request: Request) -> Response:
    """Which columns the list may have."""
    studio = studio_of(request)
    return Strict(await studio.readers.ask(lambda reader: columns(studio.index.all(reader))))


async def show_changes(request: Request) -> Response:
    """Which runs changed since the cursor; 204 when none did."""
    studio, cursor = studio_of(request), request.query_params.get("cursor")
    news = await studio.readers.ask(lambda reader: studio.index.news(reader, cursor))
    if cursor == news.cursor:
        return Response(status_code=204)
    document: dict[str, Any] = {
        "cursor": news.cursor,
        "runs": [_change(run) for run in news.runs],
        "gone": news.gone,
    }
    return Strict(document)


def _change(run: Seen) -> dict[str, Any]:
    return {
        "id": run.view.id,
        "version": run.version,
        "last_step": run.view.facts.last_step,
        "status": run.view.status.name,
    }


async def seen_run(studio: Studio, text: str) -> Seen:
    """The run with this id.

    Raises:
        Wrong: there is none (404).
    """
    wanted = run_id(text)
    found = await studio.readers.ask(lambda reader: studio.index.get(reader, [wanted]))
    if not found:
        raise Wrong(f"there is no run {wanted}; `runs` lists all", 404)
    return found[0]


async def seen_runs(studio: Studio, wanted: list[str]) -> list[Seen]:
    """These runs, all of them.

    Raises:
        Wrong: one of them there is not (404).
    """
    found = await studio.readers.ask(lambda reader: studio.index.get(reader, wanted))
    missing = set(wanted) - {run.view.id for run in found}
    if missing:
        raise Wrong(f"there is no run {min(missing)}; `runs` lists all", 404)
    return found


ROUTES = [
    Route("/runs", list_runs),
    Route("/runs/{id}", show_run),
    Route("/columns", show_columns),
    Route("/changes", show_changes),
]
