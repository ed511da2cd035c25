"""When the courier's next round is due."""

import pytest

from exptrack_agent.pace import FASTEST_S, FILL_BYTES, IDLE_S, SLOWEST_S, Pace


def steady(bytes_per_s: float) -> float:
    """The pause that rounds settle at when data comes at this rate."""
    pace, now = Pace(), 100.0
    pace.round_began(now, 0)
    for _ in range(50):
        began, now = now, pace.due_at
        pace.round_began(now, round(bytes_per_s * (now - began)))
    return pace.due_at - now


def test_the_first_round_is_due_at_once():
    assert Pace().due_at < 0


@pytest.mark.parametrize(
    ("bytes_per_s", "pause_s"),
    [
        (0, IDLE_S),
        (1_000, SLOWEST_S),
        (20_000 * 25, SLOWEST_S),
        (50_000 * 25, FILL_BYTES / (50_000 * 25)),
        (100e6, FASTEST_S),
    ],
)
def test_the_faster_data_comes_the_sooner_the_next_round(bytes_per_s, pause_s):
    assert steady(bytes_per_s) == pytest.approx(pause_s, rel=0.01)


def test_much_at_once_after_a_quiet_time_is_followed_soon():
    pace = Pace()
    pace.round_began(100.0, 0)
    pace.round_began(160.0, 1_000_000)
    assert pace.due_at == pytest.approx(160.0 + FASTEST_S)


def test_rounds_that_begin_late_do_not_drift_apart():
    pace = Pace()
    pace.round_began(100.0, 1)
    pace.round_began(100.0 + SLOWEST_S + 0.005, 1)
    assert pace.due_at == pytest.approx(100.0 + 2 * SLOWEST_S)


def test_a_round_that_is_asked_for_early_or_comes_very_late_counts_from_itself():
    pace = Pace()
    pace.round_began(100.0, 1)
    pace.round_began(100.001, 1)
    assert pace.due_at == pytest.approx(100.001 + SLOWEST_S)
    pace.round_began(200.0, 1)
    assert pace.due_at == pytest.approx(200.0 + SLOWEST_S)


def test_no_row_waits_so_long_that_50_ms_could_not_be_kept():
    assert max(FASTEST_S, SLOWEST_S, IDLE_S) <= 0.04, "the rest is for the daemon's sync"
