"""`openapi.json`: the API in OpenAPI's words, from one table. A test holds the table to the routes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exptrack_daemon.web.api.answers import Strict


class Call(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    says: str
    query: str = ""
    """Names of parameters, those that are needed with a `*`."""
    body: str = ""
    """Keys of the JSON body, likewise."""
    answer: str = "application/json"


CALLS = (
    Call("get", "/runs", "A page of the list.", "q filter sort columns limit offset"),
    Call("get", "/runs/{id}", "All about one run."),
    Call(
        *("patch", "/runs/{id}", "Change name, tags, notes."),
        body="name add_tags remove_tags notes archived",
    ),
    Call("post", "/runs/{id}/stop", "Ask a running run to stop.", body="reason"),
    Call("get", "/columns", "Which columns the list may have."),
    Call("get", "/changes", "Which runs changed since a cursor; 204: none.", "cursor"),
    Call("get", "/metrics", "Names of the metrics of runs.", "runs* q"),
    Call("get", "/system", "Names of what the sampler wrote.", "run*"),
    Call(
        *("post", "/charts", "Cells of metrics of runs on one grid."),
        body="runs* names* x lo hi cells stats rank system",
        answer="application/vnd.exptrack.frame",
    ),
    Call("get", "/points", "Rows as logged.", "run* name* lo hi rank system"),
    Call("get", "/compare", "Configs and values beside each other.", "runs*"),
    Call("get", "/media", "Images, histograms, texts, tables of a run.", "run* name kind"),
    Call("get", "/media/{run}/{number}", "One of them.", "max", answer="image/png"),
    Call(
        *("get", "/picture.png", "A picture, drawn on the server."),
        query="run* kind theme metrics",
        answer="image/png",
    ),
    Call("get", "/health", "Daemon, sinks, disk and machine."),
    Call("get", "/tensorboard", "Whether TensorBoard was launched."),
    Call("post", "/tensorboard", "Launch it on a free port."),
    Call("delete", "/tensorboard", "End it."),
    Call("get", "/openapi.json", "This."),
)


def description() -> dict[str, Any]:
    """The OpenAPI document. Pure."""
    paths: dict[str, Any] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "exptrack studio", "version": version("exptrack")},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}, {"cookie": []}],
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "exptrack_PORT"},
            }
        },
        "paths": paths,
    }


def _operation(call: Call) -> dict[str, Any]:
    path_names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    parameters = [_parameter(name, "path", is_needed=True) for name in path_names]
    parameters += [
        _parameter(name.rstrip("*"), "query", is_needed=name.endswith("*"))
        for name in call.query.split()
    ]
    wrong = {"description": 'What was wrong: {"error": "…"}', "content": {"application/json": {}}}
    operation: dict[str, Any] = {
        "summary": call.says,
        "parameters": parameters,
        "responses": {
            "200": {"description": call.says, "content": {call.answer: {}}},
            "default": wrong,
        },
    }
    if call.body:
        names = call.body.split()
        schema = {
            "type": "object",
            "properties": {name.rstrip("*"): {} for name in names},
            "required": [name.rstrip("*") for name in names if name.endswith("*")],
            "additionalProperties": False,
        }
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _parameter(name: str, place: str, *, is_needed: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_needed, "schema": {"type": "string"}}


async def show(_request: Request) -> Response:
    """The document."""
    return Strict(description())


ROUTES = [Route("/openapi.json", show)]
