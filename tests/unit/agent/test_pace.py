"""When the courier's next round is due."""

import pytest

from exptrack_agent.pace import IDLE_ROUND_S, MUCH_BYTES, MUCH_ROUND_S, ROUND_S, Pace


def test_the_first_round_is_due_at_once():
    assert Pace().due_at < 0


@pytest.mark.parametrize(
    ("size", "pause_s"),
    [
        (0, IDLE_ROUND_S),
        (1, ROUND_S),
        (MUCH_BYTES - 1, ROUND_S),
        (MUCH_BYTES, MUCH_ROUND_S),
    ],
)
def test_the_more_there_was_the_sooner_the_next_round(size, pause_s):
    pace = Pace()
    pace.round_began(100.0, size)
    assert pace.due_at == pytest.approx(100.0 + pause_s)


def test_a_row_is_durable_within_50_ms_even_after_a_quiet_time():
    assert max(ROUND_S, IDLE_ROUND_S, MUCH_ROUND_S) <= 0.04, "the rest is for the daemon's sync"
