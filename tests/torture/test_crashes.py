"""Seeded histories of crashes and faults; `python -m tests.torture.crashes` runs more, and tells one."""

from __future__ import annotations

import pytest

from tests.torture.crashes import History, run_many

pytestmark = pytest.mark.timeout(240)  # computing, not waiting: a busy machine only takes longer

SEEDS = 750


@pytest.mark.parametrize("part", range(8))
def test_every_history_ends_with_every_promise_kept(part):
    tally = run_many(range(part * 1_000_000, part * 1_000_000 + SEEDS))
    assert tally.failures == []
    assert (tally.histories, tally.crashes > SEEDS) == (SEEDS, True)


def test_a_seed_says_everything():
    one, again = History(11).run(), History(11).run()
    assert one.told == again.told
    assert one.places[0].kept == again.places[0].kept
    assert one.files.log == again.files.log
