"""What the list asks the store for."""

from __future__ import annotations

import pytest

from exptrack_daemon.store.filters import parse_filter
from exptrack_daemon.web.listing import filter_of, sort_of


@pytest.mark.parametrize(
    ("words", "given", "text"),
    [
        ("", "", ""),
        ("a b", "", '"a" and "b"'),
        ("", "loss<1 or x=2", "(loss<1 or x=2)"),
        ('a" or b', "", '"a\\"" and "or" and "b"'),
        ("a\\", "t:1", '"a\\\\" and (t:1)'),
    ],
)
def test_words_are_searched_as_they_are_beside_the_filter(words, given, text):
    assert filter_of(words, given) == text
    parse_filter(text)


@pytest.mark.parametrize(
    "word", ['"', "\\", '\\"', "(", ")", "and", "not", "<", "a=b", "'", "\\\\"]
)
def test_no_word_breaks_out_of_its_quotes(word):
    assert word in parse_filter(filter_of(word, "")).root.text


def test_the_newest_come_first_unless_asked_otherwise():
    assert sort_of("") == "-created"
    assert sort_of(" -created_ms , name,updated_ms") == "-created,name,updated"
    assert sort_of("-summary.loss") == "-summary.loss"
