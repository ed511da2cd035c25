"""Pauses double up to a bound, and begin anew after a success."""

from __future__ import annotations

from exptrack_daemon.delivery.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Retry


def test_pauses_double_up_to_the_longest():
    retry = Retry()
    pauses = [retry.failed(now=0) for _ in range(12)]
    assert pauses[:4] == [FIRST_PAUSE_S * 2**n for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_million_failures_are_no_overflow():
    retry = Retry(failures=1_000_000)
    assert retry.failed(now=0) == LONGEST_PAUSE_S


def test_it_is_due_at_first_and_after_the_pause_and_after_a_success():
    retry = Retry()
    assert retry.is_due(0)
    pause = retry.failed(now=100)
    assert not retry.is_due(100 + pause - 0.01)
    assert retry.is_due(100 + pause)
    retry.failed(now=200)
    retry.succeeded()
    assert retry.is_due(200)
    assert retry.failed(now=200) == FIRST_PAUSE_S
