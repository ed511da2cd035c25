"""Words to the user: once per kind, never an exception, and no lock that could be held."""

from __future__ import annotations

import logging
import threading

import pytest

from exptrack_agent import notices


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="exptrack")
    return caplog


def test_each_kind_is_said_once(said):
    assert notices.say_once("a", "first")
    assert not notices.say_once("a", "second")
    assert notices.say_once("b", "third")
    assert said.messages == ["exptrack: first", "exptrack: third"]


def test_many_kinds_do_not_flood_a_log(said):
    for number in range(1_000):
        notices.say_once(f"kind {number}", "x")
    assert len(said.messages) == 256


def test_a_log_handler_that_raises_does_not_reach_training():
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    logger, handler = logging.getLogger("exptrack"), Broken()
    logger.addHandler(handler)
    try:
        assert notices.say_once("broken", "x")
    finally:
        logger.removeHandler(handler)


def test_a_handler_that_says_something_itself_is_no_dead_lock(said):
    class Talkative(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notices.say_once("inner", "inner")

    logger, handler = logging.getLogger("exptrack"), Talkative()
    logger.addHandler(handler)
    try:
        notices.say_once("outer", "outer")
    finally:
        logger.removeHandler(handler)
    assert set(said.messages) == {"exptrack: outer", "exptrack: inner"}


def test_one_of_many_threads_says_it(said):
    barrier = threading.Barrier(8)
    told: list[bool] = []

    def tell() -> None:
        barrier.wait()
        told.append(notices.say_once("same", "x"))

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(True) == 1


def test_forgetting_lets_it_be_said_again(said):
    notices.say_once("a", "x")
    notices.forget()
    assert notices.say_once("a", "x")
