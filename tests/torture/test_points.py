"""The end of the process, and a failing disk, at every call; `python -m tests.torture.points` does more."""

from __future__ import annotations

import pytest

from tests.torture.points import calls_of, every_fault, every_pair, every_stop

pytestmark = pytest.mark.timeout(240)  # computing, not waiting: a busy machine only takes longer

RECORDS = 24


def test_the_workload_makes_every_kind_of_call():
    log, trace = calls_of(RECORDS)
    assert set(log) == {
        *("make_directory", "sync_directory", "open", "append", "sync", "rename", "close"),
    }
    assert set(trace) == {*log, "read", "names"}
    assert log.count("rename") >= 6


def test_an_end_before_every_call_keeps_every_promise():
    assert sum(1 for _ in every_stop(RECORDS)) > 1_000


def test_a_second_end_at_every_call_of_the_recovery_keeps_every_promise():
    assert sum(1 for _ in every_pair(RECORDS, step=3)) > 1_000


def test_every_call_failing_once_with_each_error_keeps_every_promise():
    assert sum(1 for _ in every_fault(RECORDS)) >= 1_000
