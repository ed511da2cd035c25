"""Facts as lines of the catalogue: what is saved comes back, and only changes are written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.position import Position
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, delete, list_names, load, load_all, save
from exptrack_daemon.store.facts import fresh
from exptrack_daemon.store.journals import fold_tail
from exptrack_proto.records import Alert, Artifact, ConfigUpdate, Note, Summary
from tests.support.homes import HomeBuilder

HOSTILE = "\x1b[31m../\0\u202e'; DROP TABLE runs; --" + "x" * 900


@pytest.fixture
def connection(tmp_path):
    made, _ = open_writing(Home(tmp_path))
    yield made
    made.close()


def full_facts(path):
    """Facts with something of everything in them."""
    home = HomeBuilder(path)
    run = home.run("r1")
    fields = {
        "project": HOSTILE,
        "name": HOSTILE,
        "tags": [HOSTILE],
        "notes": HOSTILE,
        "group": "g",
    }
    first = run.stream(**fields, config={"lr": 1e-3, "nan": math.nan}, sinks=["tensorboard"])
    first.log(
        {"nan": math.nan, "inf": -math.inf, "big": 2**64 - 1, "t": True, "s": HOSTILE, "none": None}
    )
    first.log({"i": 1, "f": 1.0, "b": True}, step=-5)
    first.put(ConfigUpdate(time_ns=1, config='{"deep": {"er": [1, null]}}'))
    first.put(Summary(time_ns=1, values='{"best": {"min": 0.1}}'))
    first.put(Alert(time_ns=1, title=HOSTILE, text=HOSTILE))
    first.put(Note(time_ns=2, text=HOSTILE))
    first.put(
        Artifact(time_ns=3, step=4, name=HOSTILE, type="model", path=HOSTILE, size_bytes=2**63 - 1)
    )
    first.lose(3)
    run.stream(1, **fields).log({"loss": 2.0})
    run.stream(0, role="sampler").log({"gpu": 3.0})
    first.close("failed", 3)
    facts = fresh("r1")
    fold_tail(OsFiles(), home.home, facts)
    return facts


def told(facts):
    """All of the facts as one text: NaN is not equal to itself, and types show."""
    values = {kind: sorted(getattr(facts.values, kind).items()) for kind in facts.values.__slots__}
    return repr((replace(facts, values=None), values))


def test_everything_comes_back_as_it_was_saved(tmp_path, connection):
    facts = full_facts(tmp_path)
    save(connection, facts, Saved())
    again = load(connection, "r1")
    assert told(again) == told(facts)


def test_a_list_without_values_has_what_a_list_shows(tmp_path, connection):
    facts = full_facts(tmp_path)
    save(connection, facts, Saved())
    (listed,) = load_all(connection, values=False)
    assert (listed.rows, listed.points, listed.last_step) == (3, 10, 0)
    assert listed.streams.keys() == facts.streams.keys()
    assert (listed.summary, listed.ledger) == ({}, [])
    (whole,) = load_all(connection, values=True)
    assert told(whole) == told(facts)
    assert list_names(connection)["r1"].name == HOSTILE


def test_a_second_save_writes_only_what_changed(tmp_path, connection):
    facts = full_facts(tmp_path)
    saved = save(connection, facts, Saved())
    before = connection.total_changes
    facts.values.rank0["i"] = 2.5
    facts.position = replace_record(facts.position)
    save(connection, facts, saved)
    assert connection.total_changes - before == 2  # the run's line, and one value
    assert load(connection, "r1").values.rank0["i"] == 2.5


def test_a_value_that_only_changed_its_type_is_written(tmp_path, connection):
    facts = full_facts(tmp_path)
    saved = save(connection, facts, Saved())
    facts.values.rank0["i"] = True
    save(connection, facts, saved)
    assert load(connection, "r1").values.rank0["i"] is True


def test_lines_that_another_hand_wrote_are_replaced_whole(tmp_path, connection):
    facts = full_facts(tmp_path)
    save(connection, facts, Saved())
    other = replace(
        facts, position=Position(1, 1, 999, 9), values=type(facts.values)(rank0={"x": 1})
    )
    save(connection, other, Saved())
    assert load(connection, "r1").summary == {"x": 1}


def test_a_save_that_breaks_off_changes_nothing(tmp_path, connection):
    facts = full_facts(tmp_path)
    saved = save(connection, facts, Saved())
    facts.alerts.append((1, object(), "no", "text"))
    facts.rows = 10**6
    with pytest.raises(Exception, match=r"type|bind"):
        save(connection, facts, saved)
    assert not connection.in_transaction
    assert load(connection, "r1").rows != 10**6


def test_a_deleted_run_leaves_nothing(tmp_path, connection):
    save(connection, full_facts(tmp_path), Saved())
    delete(connection, "r1")
    for table in ("runs", "streams", "summary", "ledger", "alerts", "notes", "artifacts"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_absurd_numbers_in_a_loss_do_not_break_the_catalogue(tmp_path, connection):
    facts = full_facts(tmp_path)
    facts.ledger[0] = facts.ledger[0]._replace(first=0, last=2**63 - 1)
    save(connection, facts, Saved())
    assert load(connection, "r1").ledger[0].items == 2**63


def replace_record(position):
    return position._replace(record=position.record + 1)
