"""What a run wants its metrics called: whole names, beginnings, and never two alike in a row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.sinks.shown_names import ShownNames


def test_a_whole_name_goes_before_a_beginning_and_a_longer_before_a_shorter():
    names = ShownNames({"a/*": "A/*", "a/b/*": "B/*", "a/b/c": "C"})
    assert [names.shown(name) for name in ("a/x", "a/b/x", "a/b/c", "x", "a")] == [
        *("A/x", "B/x", "C", "x", "a")
    ]


def test_what_cannot_be_meant_is_passed_over():
    for table in (None, 3, [], {"a": 3, 3: "a", "": "x", "b": "", "c/*": "d", "e": "f/*"}):
        names = ShownNames(table)
        assert [names.shown(name) for name in ("a", "", "b", "c/x", "e")] == [
            "a",
            "",
            "b",
            "c/x",
            "e",
        ]


def test_half_a_surrogate_pair_becomes_utf8():
    assert ShownNames({"a": "x\ud800"}).shown("a") == "x?"


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["a", "b", "X"])),
    st.lists(st.sampled_from(["a", "b", "c", "d", "X"]), unique=True),
)
def test_no_two_metrics_of_a_row_are_shown_alike(table: dict[str, str], row: list[str]):
    shown = ShownNames(table).shown_in_row(row)
    assert len(set(shown)) == len(row)
    assert shown == ShownNames(table).shown_in_row(row)
