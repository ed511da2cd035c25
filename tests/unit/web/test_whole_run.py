"""One run's document, and that list and document tell the same."""

from __future__ import annotations

import json

from exptrack_daemon.store.reader import SinkState, open_home
from exptrack_daemon.web.api.answers import Strict
from exptrack_daemon.web.api.whole_run import sink_document, whole_run
from exptrack_daemon.web.index import RunIndex
from exptrack_daemon.web.listing import row_document
from tests.support.homes import START_NS, HomeBuilder, TurnedClock


def test_it_tells_what_the_list_tells_and_more(home):
    HomeBuilder(home).finished_run("r", tags=["a"], notes="n", group="g", job_type="j")
    reader = open_home(home)
    (seen,) = RunIndex(reader.home, TurnedClock()).get(reader, ["r"])
    found = whole_run(reader, seen)
    (row,) = reader.query("").rows
    listed = row_document(row, {"r": seen.version})
    assert listed.pop("values") == {}
    assert {key: found[key] for key in listed} == listed
    assert found["created_ms"] == seen.view.facts.run.created_ns / 1e6 > START_NS / 1e6
    assert json.loads(Strict(found).body)["streams"][0]["closed_ms"] is not None


def test_a_stream_that_is_open_has_no_end_and_a_crashed_run_says_why(home):
    run = HomeBuilder(home).run("r")
    run.stream(rank=3)
    run.close()
    reader = open_home(home)
    found = whole_run(reader, *RunIndex(reader.home, TurnedClock()).get(reader, ["r"]))
    assert found["status"] == "crashed"
    assert "recover" in found["status_detail"]
    assert (found["streams"][0]["rank"], found["streams"][0]["closed_ms"]) == (3, None)


def test_a_sinks_state_in_milliseconds():
    state = SinkState("w", "lagging", "", 5, 2, 1, 1_500_000)
    assert sink_document(state) == {
        "name": "w",
        "status": "lagging",
        "reason": "",
        "rows": 5,
        "lag_rows": 2,
        "dead_letters": 1,
        "updated_ms": 1.5,
    }
