"""`runs`, `runs/{id}`, `columns`, `changes`: which runs there are, and what each one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.store.filters import parse_filter
from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.store.stopping import NothingToStop, StopNotPassedOn, stop_run
from exptrack_daemon.web.api.answers import Strict, Wrong
from exptrack_daemon.web.api.parameters import (
    document,
    flag,
    listed,
    run_id,
    text_of,
    texts,
    whole,
)
from exptrack_daemon.web.api.whole_run import whole_run
from exptrack_daemon.web.index import Seen
from exptrack_daemon.web.listing import filter_of, row_document, sort_of
from exptrack_daemon.web.state import Studio, studio_of

_PAGE = 100
_MOST_COLUMNS = 50
_MOST_TAGS = 256
_MOST_FILTER_CHARS = 4_000
_EDITS = ("name", "add_tags", "remove_tags", "notes", "archived")


async def list_runs(request: Request) -> Response:
    """A page of the list, searched, filtered and sorted."""
    studio, asked = studio_of(request), request.query_params
    wanted = listed(asked.get("columns", ""))
    if len(wanted) > _MOST_COLUMNS:
        raise Wrong(f"columns names {len(wanted)}; at most {_MOST_COLUMNS} go into one request")
    limit = whole(asked, "limit", _PAGE, most=_PAGE)
    offset = whole(asked, "offset", 0)
    words, given = asked.get("q", ""), asked.get("filter", "")
    if len(words) + len(given) > _MOST_FILTER_CHARS:
        raise Wrong(f"q and filter have more than {_MOST_FILTER_CHARS:,} characters")
    text, sort = filter_of(words, given), sort_of(asked.get("sort", ""))

    def find(reader: HomeReader) -> dict[str, Any]:
        parse_filter(given)  # alone first, so that a message shows what was written
        cursor, versions = studio.index.versions(reader)
        page = reader.query(text, sort, wanted, limit=limit, offset=offset)
        rows = [row_document(row, versions) for row in page.rows]
        return {"runs": rows, "total": page.total, "notes": page.notes, "cursor": cursor}

    return Strict(await studio.readers.ask(find, "list"))


async def show_run(request: Request) -> Response:
    """All about one run."""
    studio = studio_of(request)
    seen = await seen_run(studio, request.path_params["id"])
    return Strict(await studio.readers.ask(lambda reader: whole_run(reader, seen)))


async def edit_run(request: Request) -> Response:
    """Change its name, tags or notes, durably, whatever the journal says."""
    studio = studio_of(request)
    seen = await seen_run(studio, request.path_params["id"])
    asked = document(await request.body(), _EDITS)
    name, notes = text_of(asked, "name"), text_of(asked, "notes")
    added = texts(asked, "add_tags", most=_MOST_TAGS) or []
    removed = texts(asked, "remove_tags", most=_MOST_TAGS) or []
    archived = flag(asked, "archived")

    def change(reader: HomeReader) -> dict[str, Any]:
        reader.annotate(
            seen.view.id,
            name=name,
            add_tags=added,
            remove_tags=removed,
            notes=notes,
            archived=archived,
        )
        studio.index.forget_look()
        return whole_run(reader, *studio.index.get(reader, [seen.view.id]))

    return Strict(await studio.readers.ask(change))


async def stop(request: Request) -> Response:
    """Ask a running run to stop, as `exptrack stop` does."""
    studio = studio_of(request)
    seen = await seen_run(studio, request.path_params["id"])
    reason = text_of(document(await request.body(), ("reason",)), "reason")

    def ask(reader: HomeReader) -> dict[str, Any]:
        try:
            stop_run(reader, seen.view, reason or "stopped in the studio")
        except (NothingToStop, StopNotPassedOn) as error:
            raise Wrong(str(error), 409) from error
        return {"id": seen.view.id}

    return Strict(await studio.readers.ask(ask), 202)


async def show_columns(request: Request) -> Response:
    """Which columns the list may have."""
    studio = studio_of(request)
    names = await studio.readers.ask(lambda reader: reader.column_names(), "list")
    return Strict({"summary": _counted(names.summary), "config": _counted(names.config)})


def _counted(names: Mapping[str, int]) -> list[dict[str, Any]]:
    """The commonest first."""
    found = sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"name": name, "runs": runs} for name, runs in found]


async def show_changes(request: Request) -> Response:
    """Which runs changed since the cursor; 204 when none did."""
    studio, cursor = studio_of(request), request.query_params.get("cursor")
    news = await studio.readers.ask(lambda reader: studio.index.news(reader, cursor))
    if cursor == news.cursor:
        return Response(status_code=204)
    changed = [_change(run) for run in news.runs]
    return Strict(
        {"cursor": news.cursor, "runs": changed, "gone": news.gone, "is_all": news.is_all}
    )


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


def versions(runs: list[Seen]) -> tuple[tuple[str, str], ...]:
    """What an answer about these runs depends on."""
    return tuple((run.view.id, run.version) for run in runs)


ROUTES = [
    Route("/runs", list_runs),
    Route("/runs/{id}", show_run),
    Route("/runs/{id}", edit_run, methods=["PATCH"]),
    Route("/runs/{id}/stop", stop, methods=["POST"]),
    Route("/columns", show_columns),
    Route("/changes", show_changes),
]
