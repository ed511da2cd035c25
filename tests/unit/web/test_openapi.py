"""The API's description tells of what there is, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from exptrack_daemon.web.api import health, media, openapi, runs, series, tensorboard

DOCS = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text("utf-8")


def routes():
    for part in (runs, series, media, health, tensorboard, openapi):
        for route in part.ROUTES:
            for method in route.methods - {"HEAD"}:
                yield method.lower(), route.path


def test_every_route_is_described_and_nothing_else():
    described = [(call.method, call.path) for call in openapi.CALLS]
    assert sorted(described) == sorted(routes())


def test_every_route_and_every_parameter_is_documented():
    for call in openapi.CALLS:
        path = call.path.strip("/").replace("{id}", "ID").replace("{run}/{number}", "RUN/NUMBER")
        assert f"`{call.method.upper()} {path}" in DOCS, call
        for name in (*call.query.split(), *call.body.split()):
            assert name.rstrip("*") in DOCS, (call, name)


def test_it_is_a_document():
    document = json.loads(json.dumps(openapi.description()))
    assert document["openapi"].startswith("3.")
    charts = document["paths"]["/charts"]["post"]
    assert charts["requestBody"]["content"]["application/json"]["schema"]["required"] == [
        "runs",
        "names",
    ]
    media_parameters = document["paths"]["/media/{run}/{number}"]["get"]["parameters"]
    assert [one["name"] for one in media_parameters if one["in"] == "path"] == ["run", "number"]
