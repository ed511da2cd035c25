"""Which runs a retention rule lets go."""

from __future__ import annotations

import pytest

from exptrack_daemon.store.retention import Candidate, Rule, choose_to_go, size_from

DAY_NS = 86_400_000_000_000
RUNS = [Candidate(name, age * DAY_NS, 10) for age, name in enumerate("abcde")]


def gone(**rule):
    return "".join(run.id for run in choose_to_go(RUNS, 60, Rule(**rule), now_ns=5 * DAY_NS))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, "abcde"),
        ({"keep_last": 2}, "abc"),
        ({"keep_last": 9}, ""),
        ({"older_than_s": 3 * 86_400}, "abc"),
        ({"older_than_s": 99 * 86_400}, ""),
        ({"larger_than_bytes": 60}, ""),
        ({"larger_than_bytes": 59}, "a"),
        ({"larger_than_bytes": 0}, "abcde"),
        ({"larger_than_bytes": 30, "older_than_s": 4 * 86_400}, "ab"),
        ({"larger_than_bytes": 30, "keep_last": 4}, "a"),
    ],
)
def test_the_oldest_go_first_and_only_as_many_as_the_rule_says(rule, expected):
    assert gone(**rule) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5GB", 5_000_000_000), ("1.5 KiB", 1536), ("2m", 2_000_000), ("12", 12), ("1TiB", 2**40)],
)
def test_sizes(text, expected):
    assert size_from(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-1GB", "5 parsecs"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is no size; write"):
        size_from(text)
