"""Real SIGKILLs at random instants; `python -m tests.torture.kills` does thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.kills import torture

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_every_row_that_was_logged_is_there_once_whoever_was_killed(home: Path) -> None:
    tally = torture(home, 50, seed=4)
    assert tally.failures == []
    assert tally.kills["trainer"] > 30
    assert tally.kills["intake"] > 0
