"""The judge: what is accounted for, and what is not."""

from __future__ import annotations

from contextlib import closing

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import segment_path
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_daemon.store.verify import verify_run
from exptrack_proto.records import Loss
from tests.support.homes import HomeBuilder


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


def verdict_on(home, run_id="r"):
    return verify_run(open_home(home.path), run_id)


def test_a_whole_run_is_accounted_for(home):
    home.finished_run("r", rows=5)
    verdict = verdict_on(home)
    assert verdict.problems == verdict.notes == []
    assert (verdict.rows, verdict.points, verdict.frames) == (5, 10, 7)
    assert (verdict.produced_items, verdict.journal_items, verdict.ledger_items) == (7, 7, 0)


@pytest.mark.parametrize("by", ["lose", "refuse"])
def test_losses_that_the_ledger_names_are_accounted_for_exactly(home, by):
    run = home.run("r")
    stream = run.stream()
    stream.log({"a": 1})
    getattr(stream, by)(4)
    stream.log({"a": 2})
    stream.close()
    verdict = verdict_on(home)
    assert verdict.problems == []
    assert "lost 4 items (2 to 5)" in verdict.notes[0]
    (account,) = verdict.streams.values()
    assert account.ledger_items == 4
    assert account.next == account.journal_items + account.ledger_items


def test_a_loss_of_one_item_names_it_once(home):
    stream = home.run("r").stream()
    stream.lose(1)
    assert "lost 1 item (1): " in verdict_on(home).notes[0]


def test_a_gap_that_nobody_names_is_a_problem(home):
    stream = home.run("r").stream()
    stream.log({"a": 1})
    stream.skip(3)
    stream.log({"a": 2})
    verdict = verdict_on(home)
    assert "3 items before item 5 are missing" in verdict.problems[0]
    assert [a.missing_items for a in verdict.streams.values()] == [3]


def test_a_loss_entry_that_names_too_little_does_not_hide_the_rest(home):
    stream = home.run("r").stream()
    stream.put(Loss(time_ns=1, first=3, last=4, reason="full"), sequence=5)
    assert "2 items before item 5 are missing" in verdict_on(home).problems[0]


def test_a_loss_entry_that_names_what_is_there_is_a_problem(home):
    stream = home.run("r").stream()
    stream.log({"a": 1})
    stream.put(Loss(time_ns=1, first=0, last=1, reason="full"), sequence=2)
    assert "nothing is lost there" in verdict_on(home).problems[0]


def test_an_item_that_stands_twice_is_a_problem(home):
    stream = home.run("r").stream()
    stream.log({"a": 1})
    stream.next = 1
    stream.log({"a": 1})
    assert "stand in the journal twice" in verdict_on(home).problems[0]


def test_damage_is_a_problem_and_says_what_to_do(home):
    stream = home.run("r").stream()
    for step in range(200):
        stream.log({f"m{i}": 1.0 for i in range(100)}, step)
    path = segment_path(home.home.journal("r"), 1)
    data = bytearray(path.read_bytes())
    data[40_000] ^= 0xFF
    path.write_bytes(data)
    problems = verdict_on(home).problems
    assert any("checksum" in problem and "restore" in problem for problem in problems)


def test_a_missing_segment_is_a_problem(home):
    run = home.run("r", segment_bytes=1 << 20)
    stream = run.stream()
    for step in range(150):
        stream.log({f"metric/{i}": float(i) for i in range(2_000)}, step)
    segment_path(home.home.journal("r"), 2).unlink()
    assert any("segment is missing" in problem for problem in verdict_on(home).problems)


def cursor(home, name="tensorboard", **fields):
    save_cursor(OsFiles(), home.home.cursor("r", name), Cursor(**fields))


def test_a_sink_that_is_behind_is_accounted_for(home):
    home.finished_run("r", rows=5)
    cursor(home, position=Position(1, 200, 3, 2), delivered=3, rows=2, dead_letters=1)
    verdict = verdict_on(home)
    assert verdict.problems == []
    (sink,) = verdict.sinks
    assert (sink.rows, sink.pending_rows) == (2, 3)
    assert "refused 1 entries" in verdict.notes[0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"position": Position(7, 0, 0, 0)}, "behind the journal's end"),
        ({"delivered": 10**6}, "behind the journal's end"),
        ({"rows": 10**6}, "counts 1000000 rows, the journal has 5"),
    ],
)
def test_a_cursor_past_the_journal_is_a_problem(home, fields, says):
    home.finished_run("r", rows=5)
    cursor(home, **fields)
    (problem,) = verdict_on(home).problems
    assert says in problem
    assert "exptrack replay r --to tensorboard" in problem


def test_an_unreadable_cursor_is_a_problem(home):
    home.finished_run("r")
    cursor(home)
    home.home.cursor("r", "tensorboard").write_text("{")
    assert "cannot be read" in verdict_on(home).problems[0]


def catalogue(home, change=lambda facts: None):
    facts = open_home(home.path).view("r").facts
    change(facts)
    connection, _ = open_writing(home.home)
    with closing(connection):
        save(connection, facts, Saved())


def test_a_catalogue_that_is_behind_is_right_as_far_as_it_goes(home):
    run = home.run("r")
    stream = run.stream()
    stream.log({"a": 1})
    catalogue(home)
    stream.log({"a": 2})
    assert verdict_on(home).problems == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda facts: setattr(facts, "points", 99), "sums are not the journal's"),
        (lambda facts: setattr(facts, "position", Position(9, 9, 99, 9)), "ahead of the journal"),
    ],
)
def test_a_catalogue_that_says_something_else_is_a_problem(home, change, says):
    home.finished_run("r")
    catalogue(home, change)
    (problem,) = verdict_on(home).problems
    assert says in problem
    assert "exptrack replay r --to catalog" in problem
