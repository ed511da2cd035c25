"""Signals of a cluster: noted, passed on, given back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

import exptrack_agent as xt
from exptrack_agent import preemption
from exptrack_proto.records import Close
from tests.unit.agent.homes import kept


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in preemption.PREEMPTING}
    yield
    assert {number: signal.getsignal(number) for number in preemption.PREEMPTING} == before


def test_a_signal_asks_the_run_to_stop_and_names_itself(home):
    run = xt.init(home=home, mode="offline")
    run.stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    assert run.stop_requested == "SIGTERM"
    run.finish()
    (close,) = kept(home, Close)
    assert (close.status, close.exit_code, close.outcome) == ("failed", -15, "preempted")


@pytest.mark.parametrize(
    ("code", "wanted"),
    [(0, "preempted"), (128 + signal.SIGUSR1, "preempted"), (3, "failed")],
)
def test_what_goes_wrong_after_a_signal_has_failed(home, code, wanted):
    run = xt.init(home=home, mode="offline")
    run.stop_on_signals(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    run.finish(code)
    (close,) = kept(home, Close)
    assert close.outcome == wanted


def test_a_training_that_was_done_anyway_says_so(home):
    run = xt.init(home=home, mode="offline")
    run.stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    run.stop_requested = ""
    run.finish()
    (close,) = kept(home, Close)
    assert close.outcome == "finished"


def test_somebody_who_asked_before_is_not_forgotten_and_is_no_preemption(home):
    run = xt.init(home=home, mode="offline")
    run.stop_requested = "exptrack stop"
    run.finish()
    (close,) = kept(home, Close)
    assert close.outcome == "finished"


def test_what_handled_the_signal_before_is_called_too_and_alone_afterwards(home):
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        first = xt.init(home=home, mode="offline")
        second = xt.init(home=home, mode="offline")
        for run in (first, second, second):
            run.stop_on_signals(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
        assert first.stop_requested == second.stop_requested == "SIGUSR1"
        first.finish()
        os.kill(os.getpid(), signal.SIGUSR1)
        second.finish()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1] * 3
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_run_that_records_nothing_is_asked_to_stop_all_the_same(home):
    run = xt.init(home=home, mode="disabled")
    run.stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    assert run.stop_requested == "SIGTERM"
    run.finish()


def test_other_signals_and_other_threads_are_refused(home):
    run = xt.init(home=home, mode="offline")
    with pytest.raises(xt.Misuse, match=r"takes SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, not 2"):
        run.stop_on_signals(2)
    refused: list[BaseException] = []

    def elsewhere() -> None:
        try:
            run.stop_on_signals()
        except xt.Misuse as error:
            refused.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])
    run.finish()
    run.stop_on_signals()  # of no use, and no harm


def test_a_forked_child_ends_by_the_signal_as_ever(home):
    run = xt.init(home=home, mode="offline")
    run.stop_on_signals()
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    run.finish()
