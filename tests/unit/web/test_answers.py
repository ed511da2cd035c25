"""How errors leave the API: a status that fits, and a sentence."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.exceptions import HTTPException

from exptrack_daemon.errors import ConfigInvalid, HomeUnusable, RunNotFound
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.web.api.answers import HANDLERS, Strict, Wrong
from tests.support.studio import StudioServer


def handled(error):
    """The status and the sentence, by the handler that Starlette would choose."""
    kind = next(kind for kind in type(error).__mro__ if kind in HANDLERS)
    response = asyncio.run(HANDLERS[kind](None, error))
    return response.status_code, json.loads(response.body)["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Wrong("x"), 400),
        (Wrong("x", 422), 422),
        (RunNotFound("x"), 404),
        (HomeUnusable("x"), 503),
        (MissingExtra("x"), 501),
        (ConfigInvalid("x"), 400),
        (HTTPException(405, "x"), 405),
    ],
)
def test_each_has_its_status_and_its_words(error, status):
    assert handled(error) == (status, "x")


def test_a_bug_tells_nothing_of_itself():
    assert handled(KeyError("secret")) == (500, "this server has a bug; its log says more")


def test_what_json_does_not_know_is_named_and_half_surrogates_are_escaped():
    assert Strict({"a": float("nan"), "b": "\ud800ü"}).body == b'{"a":"NaN","b":"\\ud800\\u00fc"}'


def test_a_home_that_is_a_file_is_said_and_an_empty_one_is_empty(home):
    with StudioServer(home) as server:
        assert server.api("runs")["total"] == 0
        assert server.api("columns") == {"summary": [], "config": []}
    (home / "file").write_text("")
    with StudioServer(home / "file") as server:
        answer = server.get("/api/v1/runs")
        assert answer.status == 503
        assert "file" in answer.json()["error"]


def test_a_bug_in_a_route_is_an_answer_and_the_server_goes_on(home, monkeypatch, capfd):
    with StudioServer(home) as server:
        monkeypatch.setattr(server.studio.index, "versions", lambda reader: 1 / 0)
        answer = server.get("/api/v1/runs")
        assert (answer.status, "bug" in answer.json()["error"]) == (500, True)
        assert b"ZeroDivisionError" not in answer.body
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert server.api("columns")["config"] == []
    assert "ZeroDivisionError" in capfd.readouterr().err
