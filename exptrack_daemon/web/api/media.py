"""`media`, `picture.png`: what runs logged beside numbers, and a run's picture. Never HTML, never SVG."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.reader import HomeReader
from exptrack_daemon.web.api.answers import Strict, Wrong
from exptrack_daemon.web.api.parameters import listed, one_of, run_ids, whole
from exptrack_daemon.web.api.runs import seen_run, seen_runs, versions
from exptrack_daemon.web.index import Seen
from exptrack_daemon.web.state import Studio, studio_of

if TYPE_CHECKING:
    from exptrack_daemon.store.scanning import MediaEntry

_MOST_LISTED = 2_000
_LARGEST = 4_096
PNG = "image/png"


async def list_media(request: Request) -> Response:
    """What the run logged of this kind and name, newest last."""
    studio, asked = studio_of(request), request.query_params
    run = await seen_run(studio, asked.get("run", ""))
    name, kind = asked.get("name"), asked.get("kind")
    found = await studio.readers.ask(lambda reader: _listed(studio, reader, run), "long")
    fits = [
        one for one in found if name in (None, "", one["name"]) and kind in (None, "", one["kind"])
    ]
    return Strict({"media": fits[-_MOST_LISTED:], "total": len(fits)})


def _listed(studio: Studio, reader: HomeReader, run: Seen) -> list[dict[str, Any]]:
    from exptrack_daemon.web.pictures import entry_document

    key = ("media", run.view.id, run.version)
    known: list[dict[str, Any]] | None = studio.answers.get(key)
    if known is None:
        known = [entry_document(entry) for entry in reader.media(run.view)]
        studio.answers.put(key, known, 400 * (len(known) + 1))
    return known


async def show_media(request: Request) -> Response:
    """One of them: a PNG, or the JSON of what is no picture."""
    studio, path = studio_of(request), request.path_params
    run = await seen_run(studio, path["run"])
    number = whole(path, "number", 0)
    largest = whole(request.query_params, "max", _LARGEST, least=16, most=_LARGEST)

    def show(reader: HomeReader) -> Response:
        key = ("medium", run.view.id, number, largest)  # a number never gets another meaning
        known: Response | None = studio.answers.get(key)
        if known is None:
            known = _shown(next(islice(reader.media(run.view), number, None), None), largest)
            studio.answers.put(key, known, len(known.body) + 1_000)
        return known

    return await studio.readers.ask(show, "long")


def _shown(entry: MediaEntry | None, largest: int) -> Response:
    from exptrack_daemon.web.pictures import NotShowable, document, png_of
    from exptrack_proto.records import Image

    if entry is None:
        raise Wrong("the run has no such media; `media?run=` lists what it has", 404)
    try:
        if isinstance(entry.item, Image):
            return Response(png_of(entry.item, largest), media_type=PNG)
        return Strict(document(entry))
    except NotShowable as error:
        raise Wrong(f"it can't be shown: {error}", 422) from error


async def draw_picture(request: Request) -> Response:
    """A picture of runs, drawn on the server."""
    studio, asked = studio_of(request), request.query_params
    runs = await seen_runs(studio, run_ids(listed(asked.get("run", "")), "run"))
    kind, theme = asked.get("kind") or "training", one_of(asked, "theme", ("light", "dark"))
    options = {"metrics": tuple(listed(asked["metrics"]))} if asked.get("metrics") else {}

    def draw(reader: HomeReader) -> Response:
        key = ("picture", versions(runs), kind, theme, options.get("metrics"))
        known: bytes | None = studio.answers.get(key)
        if known is None:
            known = _render(reader, kind, [run.view.id for run in runs], theme, options)
            studio.answers.put(key, known, len(known))
        return Response(known, media_type=PNG)

    return await studio.readers.ask(draw, "picture")


def _render(
    reader: HomeReader, kind: str, runs: list[str], theme: str, options: dict[str, Any]
) -> bytes:
    try:
        from exptrack_daemon.plots import render

        return render(reader, kind, runs, theme="dark" if theme == "dark" else "light", **options)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"drawing needs {error.name}: pip install 'exptrack[plots]'") from error


ROUTES = [
    Route("/media", list_media),
    Route("/media/{run}/{number}", show_media),
    Route("/picture.png", draw_picture),
]
