"""Parameters, checked: whatever comes, the answer is a value or one clear sentence."""

from __future__ import annotations

import pytest

from exptrack_daemon.web.api.answers import Wrong
from exptrack_daemon.web.api.parameters import (
    document,
    edge,
    flag,
    one_of,
    run_id,
    run_ids,
    text_of,
    texts,
    whole,
)

TRAVERSAL = [
    *("..", ".", "../x", "a/b", "/etc/passwd", "..%2f..", "a\\b", "a\0b", "", " ", "-a", ".hidden"),
    *("a" * 300, "ä", "a\n", "~", "%2e%2e", "a b", "runs/x/../y", "\u2025", "\ud800"),
]


@pytest.mark.parametrize("text", TRAVERSAL)
def test_what_is_no_id_never_becomes_a_path(text):
    with pytest.raises(Wrong) as caught:
        run_id(text)
    assert caught.value.status == 404


def test_ids_are_kept_once_in_their_order_and_are_not_too_many():
    assert run_ids(["b", "a", "b"]) == ["b", "a"]
    with pytest.raises(Wrong, match="at least one"):
        run_ids([])
    with pytest.raises(Wrong, match="101 runs; at most 100"):
        run_ids([f"r{i}" for i in range(101)])


@pytest.mark.parametrize("given", ["x", "1.5", "-1", "11", True, 1.0, [], {}, "9" * 30, "1e3"])
def test_a_whole_number_is_between_its_bounds_or_refused(given):
    with pytest.raises(Wrong, match="n is a whole number from 0 to 10"):
        whole({"n": given}, "n", 3, most=10)


def test_whole_numbers_that_are_fine():
    assert whole({}, "n", 3) == 3
    assert whole({"n": None}, "n", 3) == 3
    assert whole({"n": ""}, "n", 3) == 3
    assert whole({"n": "7"}, "n", 3) == 7
    assert whole({"n": 0}, "n", 3) == 0


@pytest.mark.parametrize(
    "given", ["NaN", float("nan"), "inf", -float("inf"), 1e300, -1e300, "x", [], True, {}]
)
def test_an_edge_is_a_number_that_fits(given):
    with pytest.raises(Wrong, match="lo is a number"):
        edge({"lo": given}, "lo", unit=1_000_000, up=False)


def test_edges_are_rounded_outwards():
    assert edge({"lo": 1.5}, "lo", unit=1, up=False) == 1
    assert edge({"hi": 1.5}, "hi", unit=1, up=True) == 2
    assert edge({"hi": -0.25}, "hi", unit=1_000_000, up=True) == -250_000
    assert edge({}, "lo", unit=1, up=False) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(Wrong, match="body"):
        document(body, ["a"])


def test_unknown_keys_and_wrong_kinds_are_named():
    with pytest.raises(Wrong, match="'b' is unknown here; known are a"):
        document(b'{"a": 1, "b": 2}', ["a"])
    assert document(b'{"a": [1]}', ["a"]) == {"a": [1]}
    with pytest.raises(Wrong, match="x is one of step, time"):
        one_of({"x": "y"}, "x", ("step", "time"))
    with pytest.raises(Wrong, match="names is a list of texts"):
        texts({"names": ["a", 1]}, "names", most=2)
    with pytest.raises(Wrong, match="names has 3 entries; at most 2"):
        texts({"names": ["a", "b", "c"]}, "names", most=2)
    with pytest.raises(Wrong, match="notes is a text"):
        text_of({"notes": 1}, "notes")
    with pytest.raises(Wrong, match="archived is true or false"):
        flag({"archived": 1}, "archived")
