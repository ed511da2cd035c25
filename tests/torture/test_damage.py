"""Every damage of something small; `python -m tests.torture.damage` says how many."""

from __future__ import annotations

import pytest

from tests.torture.damage import KINDS, Judge, Whole, at_random, small_journal

pytestmark = pytest.mark.timeout(240)  # computing, not waiting: a busy machine only takes longer


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Whole(small_journal()))


def test_the_small_journal_is_small_and_whole(judge):
    whole = judge.whole
    assert len(whole.frames) == 22
    assert sum(map(len, whole.segments)) <= 4_096
    assert [len(places) for places in whole.places.values()] == [8, 9, 5]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damage_costs_what_it_touches_and_is_told(judge, kind):
    assert sum(1 for _ in kind(judge)) > 1_000


def test_damages_that_come_together_are_told_too(judge):
    assert sum(1 for _ in at_random(judge, 16_000)) == 16_000
