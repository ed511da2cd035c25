"""Planted bugs: the tests notice a sample of them here; `python -m tests.torture.mutants` plants all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.torture.mutants.__main__ import MUTANTS, ROOT, failures, judge_all

SAMPLE = (
    "ack before fsync",
    "fsync's error ignored",
    "no checksum",
    "frames are read before they are durable",
    "the cursor is ahead of the write",
    "removed before the commit",
    "published before it is copied",
)


def test_every_bug_still_has_its_place_and_makes_other_code():
    assert len(MUTANTS) >= 80
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        text = Path(ROOT / mutant.path).read_text()
        assert ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text)), mutant.name


@pytest.mark.timeout(240)
def test_a_sample_of_bugs_is_noticed():
    """That the checks pass without them, the suite itself shows."""
    chosen = [mutant for mutant in MUTANTS if mutant.name in SAMPLE]
    assert len(chosen) == len(SAMPLE)
    assert failures(judge_all(chosen, as_they_are=False)) == []
