"""The system's clock and the tests' own show the same kinds of time."""

from __future__ import annotations

import time

from exptrack_daemon.clock import SystemClock
from tests.support.clocks import FakeClock


def test_the_system_clock_shows_unix_time_and_never_goes_back():
    clock = SystemClock()
    assert abs(clock.now_ns() - time.time_ns()) < 10**9
    shown = [clock.monotonic_s() for _ in range(100)]
    assert shown == sorted(shown)


def test_the_fake_one_moves_both_hands_and_only_when_told():
    clock = FakeClock()
    before = clock.now_ns(), clock.monotonic_s()
    assert (clock.now_ns(), clock.monotonic_s()) == before
    clock.advance(1.5)
    assert clock.now_ns() - before[0] == 1_500_000_000
    assert clock.monotonic_s() - before[1] == 1.5
