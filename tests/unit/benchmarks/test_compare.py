"""Two sessions side by side."""

from __future__ import annotations

from benchmarks.compare import cautions, differences
from benchmarks.results import Report, Session


def session(values: list[float], *, is_quick: bool = False, **machine: object) -> Session:
    report = Report("speed", "How fast?")
    for value in values:
        report.add("a call", "µs", value)
    return Session(dict(machine), [report], is_quick)


def verdict(before: list[float], after: list[float]) -> str:
    (found,) = differences(session(before), session(after))
    return found.verdict


def test_a_difference_counts_when_the_spreads_do_not_overlap():
    assert verdict([10, 11, 12], [5, 6, 7]) == "less"
    assert verdict([5, 6, 7], [10, 11, 12]) == "more"


def test_overlapping_spreads_are_noise():
    assert verdict([5, 6, 12], [10, 11, 12]) == ""


def test_less_than_a_tenth_is_noise():
    assert verdict([10.0, 10.1], [10.2, 10.3]) == ""


def test_only_what_both_measured_is_compared():
    other = Session({}, [Report("else", "What?")])

    assert list(differences(session([1]), other)) == []


def test_a_ratio_to_nothing_is_none():
    (found,) = differences(session([0]), session([1]))

    assert found.ratio is None


def test_other_machines_and_quick_passes_are_pointed_out():
    slow, fast = session([1], cores=2), session([1], cores=8, is_quick=True)

    assert cautions(slow, slow) == []
    assert len(cautions(slow, fast)) == 2
