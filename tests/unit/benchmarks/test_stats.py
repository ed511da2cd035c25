"""The arithmetic of the benchmarks."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from benchmarks.stats import growth_exponent, line_fit, quantile, spread, turns


def test_a_quantile_lies_straight_between_its_neighbours():
    assert quantile([10, 20, 30], 0.5) == 20
    assert quantile([10, 20], 0.25) == pytest.approx(12.5)
    assert quantile([7], 0.99) == 7
    assert quantile([1, 2, 3], 1.0) == 3


def test_a_quantile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_few_values_are_shown_whole_and_many_without_their_ends():
    assert spread([3, 1, 2]) == (2, 1, 3)
    assert spread(list(range(11))) == (5, 1, 9)


def test_each_round_has_every_name_once_and_everybody_begins_as_often():
    rounds: dict[int, list[str]] = {}
    for number, name in turns(["a", "b", "c"], 6):
        rounds.setdefault(number, []).append(name)

    assert [sorted(names) for names in rounds.values()] == [["a", "b", "c"]] * 6
    assert Counter(names[0] for names in list(rounds.values())[:3]) == {"a": 1, "b": 1, "c": 1}


def test_nobody_always_comes_after_the_same_neighbour():
    order = [name for _, name in turns(["a", "b", "c"], 6)]

    before_b = {before for before, name in itertools.pairwise(order) if name == "b"}

    assert {"a", "c"} <= before_b


def test_growth_is_the_exponent_of_a_power_law():
    sizes = [1, 3, 10, 30]

    assert growth_exponent(sizes, [2 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert growth_exponent(sizes, [4.0] * 4) == pytest.approx(0)


def test_growth_over_one_size_is_refused():
    with pytest.raises(ValueError, match="two different sizes"):
        growth_exponent([5, 5], [1, 2])
    with pytest.raises(ValueError, match="two different sizes"):
        line_fit([5, 5], [1, 2])


def test_a_line_tells_the_fixed_part_from_the_part_by_unit():
    fixed, each = line_fit([100, 200, 400], [1.2, 1.4, 1.8])

    assert fixed == pytest.approx(1.0)
    assert each == pytest.approx(0.002)
