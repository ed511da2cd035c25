"""The run list: the same answers with the catalogue and without it, and none that is out of date."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.live import LiveStream
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_daemon.store.filters import FilterError, reference
from exptrack_daemon.store.run_table import Table
from exptrack_proto.records import ConfigUpdate, Summary
from tests.support.homes import SECOND_NS, START_NS, HomeBuilder


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


@pytest.fixture(autouse=True)
def nobody_lives(monkeypatch):
    monkeypatch.setattr(
        "exptrack_daemon.store.liveness.Liveness.is_alive", lambda self, stream: False
    )


def catalogue(home, *run_ids):
    """Put runs into the catalogue as they are now; all without names."""
    connection, _ = open_writing(home.home)
    with closing(connection):
        for run_id in run_ids or open_home(home.path).run_ids():
            save(connection, open_home(home.path).view(run_id).facts, Saved())


def make_run(home, run_id, metrics, config=None, **fields):
    run = home.run(run_id)
    stream = run.stream(config=config or {}, **fields)
    stream.log(metrics, 5)
    stream.close()
    run.close()
    return run


@pytest.fixture
def zoo(home):
    """Runs of many kinds."""
    make_run(home, "a", {"loss": 0.5, "acc": 0.1}, {"lr": 0.1, "opt": {"name": "sgd"}}, tags=["x"])
    make_run(home, "b", {"loss": 0.05}, {"lr": 1e-3, "opt": {"name": "adam"}}, name="wide net")
    make_run(home, "c", {"loss": float("nan")}, {"lr": "auto"}, project="other", notes="odd")
    crashed = home.run("d")
    crashed.stream(config={"depth": 3}).log({"loss": 2, "acc": 0.9}, 40)
    lossy = home.run("e")
    stream = lossy.stream(tags=["x", "y"])
    stream.log({"loss": 1.0})
    stream.lose(4)
    stream.put(Summary(time_ns=1, values='{"loss": 0.01, "best": "yes"}'))
    stream.put(ConfigUpdate(time_ns=1, config='{"lr": 3}'))
    stream.close("failed", 1)
    lossy.close()
    return home


QUESTIONS = [
    ("", "-created", "edcba"),
    ("", "created", "abcde"),
    ("", "loss", "ebadc"),
    ("", "-loss", "dabec"),
    ("", "config.lr,-created", "baecd"),
    ("", "name", "acdeb"),
    ("", "-project,loss", "cebad"),
    ("loss<0.1", "loss", "eb"),
    ("loss=nan", "loss", "c"),
    ("lr>=0.1", "-lr", "ea"),
    ("opt.name=adam", "", "b"),
    ("config.opt.name~S", "", "a"),
    ("tag:x", "created", "ae"),
    ("tag:x tag:y", "", "e"),
    ("project=other or wide", "created", "bc"),
    ("status=crashed", "", "d"),
    ("status!=finished", "created", "de"),
    ("lost>0", "", "e"),
    ("exit_code=1", "", "e"),
    ("steps>5", "", "d"),
    ("acc!=none", "-acc", "da"),
    ("best=yes", "", "e"),
    ("duration>40s", "created", "abce"),
    ("age<100d", "", ""),
    ("archived=true", "", ""),
    ("rows>=1 points=2", "created", "ad"),
]


@pytest.mark.parametrize("how", ["journals", "catalogue", "half", "newer", "damaged"])
def test_every_question_has_the_same_answer_with_and_without_the_catalogue(zoo, how):
    if how != "journals":
        catalogue(zoo, *("dab" if how == "half" else ()))
    if how == "newer":
        with closing(sqlite3.connect(zoo.home.catalog)) as connection:
            connection.execute("PRAGMA user_version=99")
    if how == "damaged":
        zoo.home.catalog.write_bytes(b"rubbish" * 999)
    reader = open_home(zoo.path)
    for text, sort, expected in QUESTIONS:
        page = reader.query(text, sort)
        assert "".join(row.id for row in page.rows) == expected, (text, sort)
        assert (page.total, page.notes) == (len(expected), []), text
    assert bool(reader.notices) == (how in ("newer", "damaged"))


@pytest.mark.parametrize("how", ["journals", "catalogue"])
def test_a_row_says_all_that_the_list_shows(zoo, how):
    if how == "catalogue":
        catalogue(zoo)
    reader = open_home(zoo.path)
    (row,) = reader.query("best=yes", columns=["loss", "config.lr", "absent", "duration"]).rows
    assert (row.id, row.name, row.project, row.status, row.tags) == (
        *("e", "e", "demo", "failed"),
        ("x", "y"),
    )
    assert (row.created_ns, row.updated_ns) == (
        START_NS + 5 * SECOND_NS,
        START_NS + 60 * SECOND_NS,
    )
    assert (row.rows, row.points, row.lost_items, row.attempts, row.ranks) == (1, 1, 4, 1, 1)
    assert (row.exit_code, row.last_step, row.archived, row.group) == (1, 0, False, None)
    assert row.values == {"loss": 0.01, "config.lr": 3, "absent": None, "duration": 55.0}


def test_pages_follow_one_another(zoo):
    catalogue(zoo)
    reader = open_home(zoo.path)
    pages = [reader.query("", "created", limit=2, offset=at) for at in (0, 2, 4, 6)]
    assert ["".join(row.id for row in page.rows) for page in pages] == ["ab", "cd", "e", ""]
    assert {page.total for page in pages} == {5}


def test_a_run_that_goes_on_is_never_out_of_date(home):
    run = home.run("r")
    stream = run.stream()
    stream.log({"loss": 2.0}, 1)
    catalogue(home)
    stream.log({"loss": 1.0}, 2)
    reader = open_home(home.path)
    assert reader.query("loss=1").rows[0].last_step == 2
    assert reader.query("loss=2").rows == []
    stream.close()
    assert reader.query("status=finished").total == 1


def resume(run, loss):
    stream = run.stream()
    stream.log({"loss": loss}, 9)
    stream.close("failed", 3)
    run.close()


def test_a_run_that_was_resumed_behind_the_catalogue_is_seen_on_the_page(home):
    run = home.finished_run("r")
    catalogue(home)
    resume(run, 7.0)
    (row,) = open_home(home.path).query(columns=["loss"]).rows
    assert (row.status, row.values, row.attempts) == ("failed", {"loss": 7.0}, 2)


def test_when_streams_came_after_the_catalogue_was_written_all_runs_are_looked_at(home):
    run = home.finished_run("r")
    catalogue(home)
    resume(run, 7.0)
    home.home.live.write_text("[]")
    later = home.home.catalog.stat().st_mtime_ns + SECOND_NS
    os.utime(home.home.live, ns=(later, later))
    assert open_home(home.path).query("loss=7 status=failed").total == 1


def test_a_run_that_a_trainer_writes_is_read_from_its_journal(home):
    run = home.finished_run("r")
    catalogue(home)
    resume(run, 7.0)
    home.home.live.write_text(
        '[{"stream": "0", "run_id": "r", "rank": 0, "host": "h", "pid": 1, "opened_ns": 1}]'
    )
    os.utime(home.home.live, ns=(1, 1))
    reader = open_home(home.path)
    assert reader.live_runs() == {"r"}
    assert reader.query("loss=7").total == 1


def test_a_run_that_is_gone_is_not_listed_though_the_catalogue_knows_it(zoo):
    catalogue(zoo)
    zoo.home.journal("a").rename(zoo.path / "away")
    zoo.home.run("b").rename(zoo.path / "away-too")
    page = open_home(zoo.path).query("", "created", columns=["loss"])
    assert "".join(row.id for row in page.rows) == "cde"


def test_a_name_that_no_run_has_is_told_with_what_may_be_meant(zoo):
    catalogue(zoo)
    page = open_home(zoo.path).query("los<1")
    assert page.rows == []
    assert page.notes == ["no run has a metric or config key 'los'; did you mean loss?"]
    assert open_home(zoo.path).query("", "-opt.naem").notes == [
        "no run has a metric or config key 'opt.naem'; did you mean opt.name?"
    ]


def test_a_filter_that_cannot_be_read_is_said(home):
    with pytest.raises(FilterError, match="a value is missing"):
        open_home(home.path).query("loss<")


@pytest.mark.parametrize("how", ["journals", "catalogue", "half"])
def test_the_names_of_columns_come_with_how_many_runs_have_them(zoo, how):
    if how != "journals":
        catalogue(zoo, *("dab" if how == "half" else ()))
    names = open_home(zoo.path).column_names()
    assert names.summary == {"acc": 2, "best": 1, "loss": 5}
    assert names.config == {"depth": 1, "lr": 4, "opt.name": 2}


def test_an_empty_home_has_an_empty_list(tmp_path):
    reader = open_home(tmp_path / "none")
    assert reader.query("loss<1 and tag:x", columns=["loss"]).rows == []
    assert reader.column_names().summary == {}
    assert not (tmp_path / "none").exists()


def test_edits_are_seen_by_the_list_and_by_a_filter(zoo):
    catalogue(zoo)
    reader = open_home(zoo.path)
    run = reader.annotate("a", name="baseline", add_tags=["good"], remove_tags=["x"], notes="hm")
    assert (run.name, run.tags, run.notes) == ("baseline", ("good",), "hm")
    reader.annotate("d", add_tags=["good"], archived=True)
    assert [row.id for row in reader.query("tag:good", "created").rows] == ["a", "d"]
    assert [row.id for row in reader.query("tag:x").rows] == ["e"]
    (row,) = reader.query("name=baseline notes~HM").rows
    assert (row.name, row.tags, row.notes, row.archived) == ("baseline", ("good",), "hm", False)
    assert [row.id for row in reader.query("archived=true").rows] == ["d"]
    assert reader.query("", "name").rows[0].id == "a"


def test_live_streams_are_read_as_the_daemon_writes_them(home):
    assert open_home(home.path).live_runs() == set()
    home.path.mkdir(exist_ok=True)
    from exptrack_daemon.live import LiveStreams

    streams = LiveStreams(OsFiles(), home.home.live)
    streams._streams["0"] = LiveStream("0", "r", 0, "h", 1, 1)
    streams._changed = True
    streams.save()
    assert open_home(home.path).live_runs() == {"r"}


def test_a_table_of_no_runs_has_empty_columns():
    table = Table(None, [], {}, {}, {}, 0)
    for name in ("loss", "lost", "age", "duration", "archived", "tags"):
        assert table.column(reference(name)) == {}
    assert list(table.unknown) == ["loss"]
