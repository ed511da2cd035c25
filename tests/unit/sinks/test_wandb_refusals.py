"""How a line that the server refuses for ever is found (exptrack_daemon.sinks.wandb.refusals)."""

from __future__ import annotations

import pytest

from exptrack_daemon.sinks.wandb.refusals import Refusals, is_for_what_was_sent


def deliver(lines, poison):
    """Play worker after worker against a server that refuses requests with a poison line; returns both."""
    refusals, held, refused = Refusals(), 0, 0
    while held < lines:
        sent = held
        while sent < lines and refusals.may_send(sent, held):
            sent += 1
        assert sent > held, "somebody always goes on"
        request = set(range(held, sent)) - set(refusals.poison)
        if request & poison:
            refusals, refused = refusals.after(held, sent), refused + 1
        else:
            held = sent
    return refusals, refused


@pytest.mark.parametrize("poison", [{0}, {99}, {50}, {3, 4}, {0, 99}, set()])
def test_exactly_the_lines_that_are_refused_alone_are_found(poison):
    refusals, refused = deliver(100, poison)
    assert set(refusals.poison) == poison
    assert refused <= 8 * len(poison)


def test_a_refusal_with_nothing_on_its_way_says_nothing_of_lines():
    assert Refusals().after(5, 5) == Refusals()


def test_when_row_after_row_is_refused_it_is_not_the_rows():
    many = Refusals(poison=tuple(range(5, 25)))
    assert many.after(25, 26) == many
    assert many.after(30, 31).poison[-1] == 30


def test_they_outlive_the_process_and_a_damaged_file_is_none(tmp_path):
    some = Refusals(4, 100, (7,))
    some.save(tmp_path)
    assert Refusals.load(tmp_path) == some
    tmp_path.joinpath("refused.json").write_text("{")
    assert Refusals.load(tmp_path) == Refusals()


def test_only_what_was_sent_is_to_blame_for_some():
    reasons = ["413 Request Entity Too Large", "400 Bad Request", "422 x"]
    assert all(map(is_for_what_was_sent, reasons))
    assert not any(map(is_for_what_was_sent, ["401 Unauthorized", "404 Not Found", "see its log"]))
