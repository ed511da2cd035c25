"""Asking a run to stop: what is refused, and where the request is left."""

from __future__ import annotations

import os

import pytest

from exptrack_daemon.locks import hold_lock
from exptrack_daemon.store import open_home
from exptrack_daemon.store.stopping import NothingToStop, StopNotPassedOn, stop_run
from tests.support.homes import HomeBuilder


@pytest.fixture
def builder(tmp_path):
    return HomeBuilder(tmp_path)


def running(builder):
    """A run whose trainer is this process."""
    run = builder.run("r")
    run.stream(pid=os.getpid(), host=os.uname().nodename).log({"loss": 1.0})
    run.close()
    return open_home(builder.path)


def test_a_run_that_has_ended_is_not_asked(builder):
    builder.finished_run("r")
    reader = open_home(builder.path)
    with pytest.raises(NothingToStop, match="run r is finished, so there is nothing to stop"):
        stop_run(reader, reader.view("r"), "why")


def test_without_a_daemon_nobody_would_pass_it_on(builder):
    reader = running(builder)
    with pytest.raises(StopNotPassedOn, match="exptrack daemon start"):
        stop_run(reader, reader.view("r"), "why")
    assert not builder.home.stop_request("r").exists()


def test_a_running_run_is_asked_with_the_reason(builder):
    reader = running(builder)
    request, held = builder.home.stop_request("r"), hold_lock(builder.home.lock)
    try:
        stop_run(reader, reader.view("r"), "diverged")
        assert request.read_text() == "diverged"
        request.unlink()
        request.mkdir()
        with pytest.raises(StopNotPassedOn, match="cannot be written"):
            stop_run(reader, reader.view("r"), "again")
    finally:
        os.close(held)
