"""What a condition says about one value."""

from __future__ import annotations

import math

import pytest

from exptrack_daemon.store.matching import (
    OPERATORS,
    length_of,
    length_test,
    list_test,
    moment_test,
    text_of,
    value_test,
)

VALUES = [None, True, False, 0, 1, -3, 0.5, math.nan, math.inf, "", "text", [1, "a"], {"k": 1}]


@pytest.mark.parametrize("given", VALUES, ids=repr)
@pytest.mark.parametrize("text", ["0.5", "none", "true", "nan", "text", "", "1"])
def test_not_equal_is_the_opposite_of_equal_whatever_it_is(given, text):
    assert value_test("=", text)(given) != value_test("!=", text)(given)
    assert value_test("~", text)(given) != value_test("!~", text)(given)
    assert value_test("=", text)(given) == value_test("==", text)(given)


@pytest.mark.parametrize("given", VALUES, ids=repr)
def test_only_numbers_are_compared_with_numbers(given):
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    either = value_test("<", "0.5")(given) or value_test(">=", "0.5")(given)
    assert either == (is_number and not math.isnan(given))


def test_a_quoted_word_is_a_text():
    assert value_test("=", "none")(None)
    assert not value_test("=", "none", is_quoted=True)(None)
    assert value_test("!=", "none", is_quoted=True)(None)
    assert value_test("=", "true", is_quoted=True)("true")


def test_large_integers_keep_their_last_digit():
    assert value_test("=", str(2**53))(2**53)
    assert value_test("<", "1e300")(10**20)


def test_lists_are_asked_for_their_items():
    assert list_test("=", "a")(("a", "b"))
    assert not list_test("!=", "a")(("a", "b"))
    assert list_test("~", "B")(("a", "big"))
    assert list_test("!~", "c")(())


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("90", 90), ("90s", 90), ("1.5h", 5400), ("2 min", 120), ("3D", 259_200), ("1w", 604_800)],
)
def test_lengths_of_time(text, length_s):
    assert length_of(text) == length_s


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1y", "3 4d", "-"])
def test_what_is_no_length_of_time(text):
    with pytest.raises(ValueError, match="no length of time"):
        length_of(text)


def test_a_value_without_time_fits_no_time():
    for sign in ("<", "<=", ">", ">="):
        assert not length_test(sign, "1h")(None)
        assert not moment_test(sign, "2026-11-24")(None)


def test_a_day_begins_at_its_first_and_ends_before_the_next_ones_first_nanosecond():
    first = 0
    while not moment_test("=", "1970-01-02T00:00:00+00:00")(first):
        first += 86_400_000_000_000
    assert first == 86_400_000_000_000
    assert not moment_test("<", "1970-01-02T00:00:00+00:00")(first)
    assert moment_test("<", "1970-01-02T00:00:00+00:00")(first - 1)


def test_every_operator_is_known_to_values():
    for sign in OPERATORS:
        assert value_test(sign, "1")(1) in (True, False)


def test_values_as_texts():
    assert [text_of(given) for given in (True, 1, [1, "ä"], {"k": None}, "x")] == [
        *("true", "1", '[1, "ä"]', '{"k": null}', "x")
    ]
