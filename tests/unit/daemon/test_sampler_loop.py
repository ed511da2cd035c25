"""The sampler's loop against a real intake: rows for every live run, a close at its end, no busy waiting."""

from __future__ import annotations

import os
import socket as network
import threading
import time

import pytest

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import DaemonConfig, SamplerConfig
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.sampler.sampler import Sampler
from tests.support.desks import RUN, STREAM, closed, opened, read_back
from tests.support.lifelines import FakeLifeline
from tests.support.processes import wait_until
from tests.unit.daemon.test_intake_server import Intake

pytestmark = pytest.mark.timeout(40)


class Sampling:
    def __init__(self, home):
        config = DaemonConfig(home=Home(home), sampler=SamplerConfig(every_s=0.2))
        self.sampler = Sampler(config, OsFiles(), SystemClock())
        self.rounds = 0
        self.is_over = False
        self.lifeline = FakeLifeline(self._round, 30)
        self.thread = threading.Thread(target=self.sampler.serve, args=(self.lifeline,))

    def _round(self):
        self.rounds += 1
        return self.is_over

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join(10)
        assert not self.thread.is_alive()


def begin(intake):
    intake.push.send(opened(host=network.gethostname(), pid=os.getpid()))
    wait_until(lambda: intake.acked() == 1, 5)


def system_rows(home):
    return read_back(home).steps


def test_a_live_run_gets_rows_and_its_stream_is_closed_at_the_end(home):
    with Intake(home) as intake, Sampling(home) as sampling:
        begin(intake)
        wait_until(lambda: len(system_rows(home)) >= 3, 10)
        intake.push.send(closed(1))
        wait_until(lambda: read_back(home).closes == ["finished", "finished"], 10)
        wait_until(lambda: not sampling.sampler._ending, 5)
        assert sampling.sampler._streams == {}
    told = read_back(home)
    sampler = [info for info in told.replay.streams.values() if info.role == "sampler"]
    assert len(sampler) == 1
    assert told.replay.closed == set(told.replay.streams)
    assert told.losses == []
    assert told.steps == list(range(told.steps[0], told.steps[0] + len(told.steps)))


def test_sampler_and_intake_do_not_keep_each_other_awake(home):
    with Intake(home) as intake, Sampling(home) as sampling:
        begin(intake)
        wait_until(lambda: system_rows(home), 10)
        before = (intake.rounds, sampling.rounds)
        time.sleep(1)
        assert intake.rounds - before[0] < 80  # at five samples a second
        assert sampling.rounds - before[1] < 60


def test_a_new_sampler_goes_on_after_the_steps_of_the_one_before(home):
    with Intake(home) as intake:
        begin(intake)
        with Sampling(home):
            wait_until(lambda: len(system_rows(home)) >= 3, 10)
        wait_until(lambda: read_back(home).closes == ["finished"], 5)
        before = system_rows(home)
        with Sampling(home):
            wait_until(lambda: len(system_rows(home)) > len(before) + 1, 10)
    steps = system_rows(home)
    assert steps == sorted(set(steps))


def test_a_trainer_of_another_machine_is_not_ours_to_watch(home):
    with Intake(home) as intake, Sampling(home) as sampling:
        intake.push.send(opened(host="another", pid=os.getpid()))
        wait_until(lambda: intake.acked(STREAM, RUN) == 1, 5)
        time.sleep(0.5)
        assert sampling.sampler._streams == {}


def test_samples_of_a_time_without_an_intake_arrive_later(home):
    with Intake(home) as intake, Sampling(home) as sampling:
        begin(intake)
        wait_until(lambda: system_rows(home), 10)
        intake.is_over = True
        intake.thread.join(10)
        taken = sampling.sampler._samples
        wait_until(lambda: sampling.sampler._samples > taken + 3, 10)
        with Intake(home) as again:
            wait_until(lambda: len(system_rows(home)) > taken + 3, 15)
            assert again.server.desk.counters.rejected == 0
    told = read_back(home)
    assert told.losses == []
    assert told.steps == sorted(set(told.steps))
