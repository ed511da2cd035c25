"""A run that is being written: what a page that polls sees of it."""

from __future__ import annotations

import os
import socket

import numpy as np

from exptrack_daemon.locks import hold_lock
from exptrack_daemon.store.reader import HomeReader
from tests.support.homes import HomeBuilder
from tests.support.processes import wait_until
from tests.support.studio import StudioServer


def test_rows_of_a_growing_journal_arrive_and_only_the_last_cells_are_asked_for_again(
    home, monkeypatch
):
    monkeypatch.setattr(HomeReader, "is_alive", lambda *_: True)
    homes = HomeBuilder(home)
    run = homes.run("live")
    stream = run.stream()
    for step in range(100):
        stream.log({"loss": float(step)}, step)
    with StudioServer(home) as server:
        first = server.api("changes")
        assert first["runs"][0]["status"] == "running"
        header, whole = server.charts(runs=["live"], names=["loss"], cells=64)
        for step in range(100, 110):
            stream.log({"loss": float(step)}, step)

        def news():
            answer = server.get(f"/api/v1/changes?cursor={header['cursor']}")
            return answer.json() if answer.status == 200 else None

        changed = wait_until(news, 10, "the rows are news")
        assert [(one["id"], one["last_step"]) for one in changed["runs"]] == [("live", 109)]
        assert changed["runs"][0]["version"] != header["runs"][0]["version"]
        lo = header["x0"] + (header["cells"] - 1) * header["width"]
        tail_header, tail = server.charts(runs=["live"], names=["loss"], lo=lo, hi=109, cells=64)
        assert tail_header["extent"] == [0, 109]
        last, _ = server.charts(runs=["live"], names=["loss"], cells=64)
        assert last["extent"] == [0, 109]
        assert np.nanmax(tail[0, 0, 2]) == 109.0
        assert np.nanmax(whole[0, 0, 2]) == 99.0
        run.close()


def test_a_cell_that_was_kept_is_never_shown_for_a_newer_version(home):
    homes = HomeBuilder(home)
    run = homes.run("live")
    stream = run.stream()
    with StudioServer(home) as server:
        for step in range(20):
            stream.log({"loss": 1.0}, step)
            server.studio.index.forget_look()
            _, values = server.charts(
                runs=["live"], names=["loss"], lo=0, hi=31, cells=32, stats=["count"]
            )
            assert values.sum() == step + 1
    run.close()


def test_a_running_run_is_asked_to_stop_and_one_that_is_not_is_told_so(home):
    homes = HomeBuilder(home)
    homes.finished_run("done")
    run = homes.run("live")
    run.stream(pid=os.getpid(), host=socket.gethostname()).log({"loss": 1.0}, 0)
    request = homes.home.stop_request("live")
    with StudioServer(home) as server:
        told = server.post("runs/live/stop", {})
        assert told.status == 409
        assert "exptrack daemon start" in told.json()["error"]
        held = hold_lock(homes.home.lock)
        told = server.post("runs/live/stop", {"reason": "diverged"})
        assert (told.status, request.read_text()) == (202, "diverged")
        assert server.post("runs/live/stop", {}).status == 202
        assert request.read_text() == "stopped in the studio"
        told = server.post("runs/done/stop", {})
        assert (told.status, "is finished" in told.json()["error"]) == (409, True)
        assert server.post("runs/none/stop", {}).status == 404
        assert server.post("runs/live/stop", {"reason": 1}).status == 400
        os.close(held)
    run.close()
