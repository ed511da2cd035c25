"""One process for all runs of one sink: which runs, in which order of need, and what it says about itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import DaemonConfig, DeliveryConfig
from exptrack_daemon.delivery.worker import SinkWorker, replay_request
from exptrack_daemon.errors import BatchRejected, SinkUnavailable
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.lifeline import is_same_process
from tests.support.deliveries import Destination
from tests.support.desks import closed, make_desk, opened, rows
from tests.support.lifelines import FakeLifeline

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def config(home):
    return DaemonConfig(
        home=Home(home), default_sinks=("there",), delivery=DeliveryConfig(batch_age_s=0.05)
    )


@pytest.fixture
def destinations():
    return {}


@pytest.fixture
def work(config, destinations):
    """Run a worker until a condition holds; returns its last facts."""

    def run(is_over, name="there"):
        def open_sink(run, context, saved):
            destination = destinations.setdefault(run.run_id, Destination())
            return destination.open(run, context, saved)

        worker = SinkWorker(name, open_sink, config, OsFiles(), SystemClock())
        lifeline = FakeLifeline(lambda: is_over(worker))
        worker.serve(lifeline)
        assert not lifeline.timed_out
        return lifeline.reports[-1] if lifeline.reports else {}

    return run


def a_run(home, run, count=10, *, close=True, **fields):
    stream = run.encode().ljust(16, b"-")
    desk = make_desk(home)
    desk.take(opened(run, stream, **fields))
    desk.take(rows(1, count, run, stream))
    if close:
        desk.take(closed(count + 1, run, stream))
    desk.close()


def test_runs_that_want_this_sink_get_it_and_others_do_not(home, work, destinations):
    a_run(home, "default")
    a_run(home, "asked", sinks=["there", "x"])
    a_run(home, "other", sinks=["x"])
    (home / "runs" / "stray").mkdir()
    work(lambda worker: destinations.keys() == {"default", "asked"} and not worker._lanes)
    assert all(len(there.kept) == 12 for there in destinations.values())


def test_a_run_attached_later_is_served_from_its_beginning_and_stays_attached(
    home, work, config, destinations
):
    a_run(home, "late", sinks=["x"])
    request = replay_request(config, "late", "there")
    request.parent.mkdir()
    request.touch()
    killed = SinkWorker("there", Destination().open, config, OsFiles(), SystemClock())
    killed._look_around(FakeLifeline(lambda: True))
    killed.close()
    assert not request.exists()
    work(lambda worker: "late" in destinations and not worker._lanes)
    assert len(destinations["late"].kept) == 12


def test_a_replay_begins_anew_and_forgets_the_dead_letters(home, work, config, destinations):
    a_run(home, "one")
    destinations["one"] = Destination()
    destinations["one"].reject, destinations["one"].poison = BatchRejected, {5}
    work(lambda worker: destinations["one"].closed)
    assert len(list(config.home.dead_letters("one", "there").iterdir())) == 1
    destinations["one"].poison = set()
    replay_request(config, "one", "there").touch()
    work(lambda worker: destinations["one"].closed > 1)
    assert len(destinations["one"].kept) == 12
    assert list(config.home.dead_letters("one", "there").iterdir()) == []


def test_what_was_committed_last_is_handed_over_before_the_worker_ends(home, work, destinations):
    a_run(home, "live", count=500, close=False)
    facts = work(lambda worker: True)
    assert len(destinations["live"].kept) == 501
    assert facts["lag_rows"] == 0


def test_a_run_in_trouble_is_shown_and_holds_up_no_other(home, work, destinations):
    for run in ("bad", "good"):
        a_run(home, run)
    destinations["bad"] = Destination()
    destinations["bad"].open_failures = [SinkUnavailable("no route")] * 999
    facts = work(lambda worker: "good" in destinations and destinations["good"].closed)
    assert len(destinations["good"].kept) == 12
    assert (facts["state"], facts["reason"]) == ("unavailable", "no route")
    assert facts["lag_rows"] == 10


def test_a_run_whose_files_cannot_be_read_stops_nobody(home, work, destinations, config):
    a_run(home, "good")
    (home / "runs" / "bad" / "journal" / "00000001.seg").mkdir(parents=True)
    config.home.cursor("bad", "there").parent.mkdir()
    config.home.cursor("bad", "there").mkdir()
    work(lambda worker: "good" in destinations and destinations["good"].closed)
    assert len(destinations["good"].kept) == 12


def test_helper_processes_are_announced_with_their_birth_while_they_live(config):
    worker = SinkWorker("there", Destination().open, config, OsFiles(), SystemClock())
    try:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        worker._announce_child(child.pid)
        worker._announce_child(2**22 + 5)
        ((pid, born),) = worker.facts()["children"]
        assert pid == child.pid
        assert is_same_process(pid, born)
        assert not is_same_process(os.getpid(), born - 60)
        child.communicate(b"\n")
        assert worker.facts()["children"] == []
    finally:
        worker.close()


def test_a_look_at_very_many_runs_takes_at_most_a_hundredth_of_the_time(home, config):
    class Slow(SystemClock):
        asked = 0

        def monotonic_s(self):
            self.asked += 1
            return 1000.0 + self.asked * 3

    worker = SinkWorker("there", Destination().open, config, OsFiles(), Slow())
    try:
        worker._look_around(FakeLifeline(lambda: True))
        assert worker._look_at >= 1000 + 300
    finally:
        worker.close()
