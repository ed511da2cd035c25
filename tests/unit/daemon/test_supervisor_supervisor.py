"""What the supervisor decides without its workers: which sinks it serves, what it answers, when it ends."""

from __future__ import annotations

import json

import pytest
import zmq

from exptrack_daemon.config import DaemonConfig
from exptrack_daemon.home import Home
from exptrack_daemon.supervisor.supervisor import ADMIN, Supervisor, SupervisorOptions
from tests.support.clocks import FakeClock
from tests.support.faulty_files import FaultyFiles


@pytest.fixture
def files():
    return FaultyFiles()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make(home, files, clock):
    made = []

    def make(default_sinks=("tensorboard",), idle_exit_s=None):
        config = DaemonConfig(home=Home(home), default_sinks=default_sinks)
        made.append(Supervisor(config, files, clock, SupervisorOptions(idle_exit_s=idle_exit_s)))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor._stop()


def sinks_of(supervisor):
    return {sink["name"]: sink["state"] for sink in supervisor.status()["sinks"]}


def test_the_catalogue_and_the_default_sinks_are_served(make):
    assert sinks_of(make()) == {"catalog": "waiting", "tensorboard": "waiting"}


def test_a_sink_that_nobody_offers_is_shown_with_the_reason_and_said_once(make, caplog):
    supervisor = make(("tensorbord",))
    supervisor._add_sink("tensorbord")
    (sink,) = [sink for sink in supervisor.status()["sinks"] if sink["name"] == "tensorbord"]
    assert sink["state"] == "unknown"
    assert "installed are" in sink["reason"]
    assert sum("tensorbord" in record.message for record in caplog.records) == 1


def test_a_sink_that_a_run_asked_for_is_served_by_the_next_daemon_too(make):
    first = make()
    first._intake.facts = {"asked_sinks": ["memory", "nosuch"]}
    for name in first._intake.facts["asked_sinks"]:
        if first._add_sink(name):
            first._asked.add(name)
    assert sinks_of(first)["memory"] == "waiting"
    assert sinks_of(make())["memory"] == "waiting"
    assert "nosuch" not in sinks_of(make()), "a slip of the pen is not remembered"


def test_requests_are_answered_and_garbage_is_too(make, home):
    supervisor = make()
    with zmq.Context() as context:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(f"ipc://{Home(home).runtime / ADMIN}")
        answers = []
        for request in (b'{"do": "status"}', b"garbage", b"[1]", b'{"do": "fly"}', b"\xff"):
            dealer.send(request)
            assert supervisor._admin.poll(5000)
            supervisor._serve_admin()
            assert dealer.poll(5000)
            answers.append(json.loads(dealer.recv()))
        dealer.send(b'{"do": "start_sink", "sink": "memory"}')
        assert supervisor._admin.poll(5000)
        supervisor._serve_admin()
        dealer.send(b'{"do": "start_sink", "sink": ["memory"]}')
        assert supervisor._admin.poll(5000)
        supervisor._serve_admin()
        dealer.close(0)
    assert answers[0]["home"] == str(home)
    assert [set(answer) for answer in answers[1:]] == [{"error"}] * 4
    assert "memory" in sinks_of(supervisor)


def test_asking_to_stop_stops(make):
    supervisor = make()
    assert supervisor._answer({"do": "stop"}) == {"ok": True}
    assert supervisor._stopping


def test_it_ends_when_idle_for_long_and_not_before(make, clock):
    supervisor = make(idle_exit_s=60)
    supervisor._intake.has_reported = True
    for facts, lag in (({"live": 1}, 0), ({"recovering": True}, 0), ({}, 7)):
        supervisor._intake.facts = facts
        supervisor._sinks["catalog"].facts = {"lag_rows": lag}
        supervisor._stop_if_idle(clock.advance(1000))
        assert not supervisor._stopping
    supervisor._sinks["catalog"].facts = {}
    supervisor._stop_if_idle(clock.advance(59))
    assert not supervisor._stopping
    supervisor._stop_if_idle(clock.advance(2))
    assert supervisor._stopping


def test_one_without_a_limit_never_ends_by_itself(make, clock):
    supervisor = make()
    supervisor._intake.has_reported = True
    supervisor._stop_if_idle(clock.advance(10**6))
    assert not supervisor._stopping


def test_a_full_disk_at_the_start_is_said_once_and_the_beacon_lit_when_there_is_room(
    make, files, home, caplog
):
    supervisor = make()
    files.fail_next("append", "append")
    for _ in range(2):
        supervisor._light_beacon()
        assert not supervisor._is_beacon_lit
    assert sum("cannot be written" in record.message for record in caplog.records) == 1
    supervisor._light_beacon()
    assert supervisor._is_beacon_lit
    beacon = json.loads(Home(home).beacon.read_bytes())
    assert {"format", "version", "boot", "pid", "frames", "control", "admin"} <= set(beacon)
    assert Home(home).beacon.stat().st_mode & 0o077 == 0


def test_every_intake_has_a_boot_id_of_its_own_and_gets_a_beacon_of_its_own(make):
    supervisor = make()
    supervisor._renew_intake()
    supervisor._is_beacon_lit = True
    one = supervisor._boot
    supervisor._renew_intake()
    assert supervisor._boot != one
    assert not supervisor._is_beacon_lit
    assert supervisor._intake.spec.arguments[1] == supervisor._boot
