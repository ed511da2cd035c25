"""Real SIGKILLs of the store's worker; `python -m tests.torture.store_kills` does thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.store_kills import torture

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_every_point_is_in_parts_and_tail_once_whenever_the_worker_was_killed(home: Path) -> None:
    tally = torture(home, 40, seed=2)
    assert tally.failures == []
    assert tally.half_written > 0
