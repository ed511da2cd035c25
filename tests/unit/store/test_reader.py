"""The library door: right with the catalogue, without it, and while a run is written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from exptrack_daemon.errors import HomeUnusable, RunNotFound
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.journal.entries import Rows
from exptrack_daemon.journal.position import Position
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_daemon.store.reader import locate
from tests.support.homes import START_NS, HomeBuilder


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


def catalogue(home, run_id):
    """Put a run into the catalogue as it is now."""
    connection, _ = open_writing(home.home)
    with closing(connection):
        save(connection, open_home(home.path).view(run_id).facts, Saved())


def test_opening_a_home_makes_nothing_and_reads_nothing(tmp_path):
    reader = open_home(tmp_path / "none")
    assert reader.runs() == []
    assert not (tmp_path / "none").exists()


def test_importing_the_door_is_light():
    heavy = (
        "{'pyarrow', 'numpy', 'rich', 'typer', 'zmq', 'psutil', 'tensorboard'} & set(sys.modules)"
    )
    code = f"import sys, exptrack_daemon.store; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_file_in_place_of_the_home_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(HomeUnusable, match="no folder"):
        open_home(tmp_path / "file")


def test_the_home_comes_from_the_argument_the_environment_or_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EXPTRACK_HOME", raising=False)
    assert locate(None) == (tmp_path / ".exptrack").resolve()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("EXPTRACK_HOME", str(tmp_path / "link"))
    assert locate(None) == (tmp_path / "real").resolve()
    assert locate("~/x") == (tmp_path / "x").resolve()


def test_runs_are_listed_newest_first_with_or_without_the_catalogue(home):
    for run_id in ("one", "two", "three"):
        home.finished_run(run_id)
    catalogue(home, "two")
    reader = open_home(home.path)
    assert [view.id for view in reader.runs()] == ["three", "two", "one"]
    assert {(v.status.name, v.facts.rows, v.facts.points) for v in reader.runs()} == {
        ("finished", 3, 6)
    }
    home.home.catalog.unlink()
    assert [view.id for view in reader.runs(values=True)] == ["three", "two", "one"]
    assert reader.runs(values=True)[0].facts.summary == {"loss": 1 / 3, "lr": 0.1}


def test_what_came_after_the_catalogue_counts_too(home):
    run = home.run("r")
    stream = run.stream()
    stream.log({"a": 1.0}, 1)
    catalogue(home, "r")
    stream.log({"a": 2.0}, 2)
    stream.close("failed", 3)
    view = open_home(home.path).find("r")
    assert (view.facts.rows, view.facts.summary, view.status[0]) == (2, {"a": 2.0}, "failed")
    assert open_home(home.path).runs()[0].facts.rows == 2


def test_a_run_in_the_catalogue_whose_journal_is_gone_is_not_shown(home):
    home.finished_run("r")
    catalogue(home, "r")
    home.home.journal("r").rename(home.path / "elsewhere")
    assert open_home(home.path).runs() == []


@pytest.mark.parametrize("spoil", ["newer", "damaged"])
def test_a_catalogue_that_cannot_be_used_is_done_without_and_said(home, spoil):
    home.finished_run("r")
    catalogue(home, "r")
    if spoil == "newer":
        with closing(sqlite3.connect(home.home.catalog)) as connection:
            connection.execute("PRAGMA user_version=99")
    else:
        home.home.catalog.write_bytes(b"rubbish" * 999)
    reader = open_home(home.path)
    assert reader.find("latest").facts.rows == 3
    assert reader.runs()[0].facts.rows == 3
    assert len(reader.notices) == 1
    assert "journals are read instead" in reader.notices[0]


def test_a_journal_of_a_newer_exptrack_spoils_only_its_own_run(home, monkeypatch):
    home.finished_run("good")
    monkeypatch.setattr("exptrack_daemon.journal.segment.JOURNAL_VERSION", 2)
    home.finished_run("newer")
    monkeypatch.undo()
    newer, good = sorted(open_home(home.path).runs(), key=lambda view: view.id, reverse=True)
    assert (newer.status.name, good.status.name) == ("unreadable", "finished")
    assert "install a newer exptrack" in newer.status.detail


def test_folders_that_are_no_runs_are_passed_over(home):
    home.finished_run("r")
    (home.home.runs / ".hidden" / "journal").mkdir(parents=True)
    (home.home.runs / "no-journal").mkdir()
    (home.home.runs / "a file").write_text("")
    assert open_home(home.path).run_ids() == ["r"]


def test_a_run_is_found_by_its_name_before_and_after_it_is_catalogued(home):
    home.finished_run("r1", name="base line", project="p")
    assert open_home(home.path).find("base line").id == "r1"
    catalogue(home, "r1")
    assert open_home(home.path).find("p/base line").id == "r1"
    with pytest.raises(RunNotFound, match="did you mean base line"):
        open_home(home.path).find("baseline")


def test_points_come_once_each_in_journal_order(home):
    run = home.run("r")
    zero, one, sampler = run.stream(), run.stream(1), run.stream(role="sampler")
    zero.log({"a": 1.0, "b/c": "text"}, 7, time_ns=70)
    sampler.log({"gpu": 1.0}, 0)
    one.log({"a": None}, -7, time_ns=60)
    reader = open_home(home.path)
    assert list(reader.points("r")) == [
        ("a", 7, 70, 1.0, 0),
        ("b/c", 7, 70, "text", 0),
        ("a", -7, 60, None, 1),
    ]
    assert len(list(reader.points(reader.find("r"), system=True))) == 4


class Waiting:
    """Stands in for waiting: does the next thing, then says whether to stop."""

    def __init__(self, *acts):
        self.acts = list(acts)

    def __call__(self, seconds):
        if not self.acts:
            return True
        self.acts.pop(0)()
        return False


@pytest.fixture
def living(monkeypatch):
    """Owners live for as long as this says so."""
    alive = [True]
    monkeypatch.setattr(
        "exptrack_daemon.store.liveness.Liveness.is_alive", lambda self, stream: alive[0]
    )
    return alive


def steps(entries):
    return [row.step for entry in entries if isinstance(entry, Rows) for row in entry.rows]


def test_a_tail_gives_the_last_rows_then_what_comes_and_ends_with_the_run(home, living):
    run = home.run("r")
    stream = run.stream()
    for step in range(20):
        stream.log({"a": 1.0}, step)
    wait = Waiting(lambda: stream.log({"a": 1.0}, 20), stream.close)
    entries = list(open_home(home.path).tail("r", last_rows=3, wait=wait))
    assert steps(entries) == [17, 18, 19, 20]
    assert wait.acts == []


def test_a_tail_cuts_a_frame_that_holds_more_rows_than_asked_for(home, living):
    from exptrack_proto.records import Row

    run = home.run("r")
    run.stream().rows(*(Row(step, START_NS, {"a": 1}) for step in range(50)))
    entries = list(open_home(home.path).tail("r", last_rows=2, wait=Waiting()))
    assert steps(entries) == [48, 49]
    assert entries[0].first == 49


def test_rows_of_the_sampler_do_not_count_among_the_last_unless_asked_for(home, living):
    run = home.run("r")
    stream, sampler = run.stream(), run.stream(role="sampler")
    for step in range(5):
        stream.log({"a": 1.0}, step)
    for second in range(9):
        sampler.log({"gpu": 1.0}, 100 + second)
    reader = open_home(home.path)
    assert steps(reader.tail("r", last_rows=2, wait=Waiting())) == [3, 4]
    assert steps(reader.tail("r", last_rows=2, system=True, wait=Waiting())) == [107, 108]


def test_a_tail_waits_for_what_the_daemon_brings_in_of_a_trainer_that_died(home, living):
    stream = home.run("r").stream()
    stream.log({"a": 1.0}, 1)

    def die():
        living[0] = False

    def bring_in():
        stream.log({"a": 1.0}, 2)
        stream.close("crashed", None)

    wait = Waiting(die, lambda: None, bring_in)
    entries = list(open_home(home.path).tail("r", wait=wait))
    assert steps(entries) == [1, 2]
    assert entries[-1].item.status == "crashed"


def test_a_tail_of_a_dead_run_ends_by_itself(home):
    home.finished_run("r")
    assert steps(open_home(home.path).tail("r", wait=lambda s: pytest.fail("waited"))) == [0, 1, 2]


def test_a_tail_ends_when_the_trainer_is_gone_without_a_word(home, living):
    home.run("r").stream().log({"a": 1.0}, 1)

    def die():
        living[0] = False

    wait = Waiting(die, *[lambda: None] * 99)
    assert steps(open_home(home.path).tail("r", wait=wait)) == [1]
    assert 50 < len(wait.acts) < 99  # it was patient, not for ever


def test_sinks_show_how_far_behind_they_are(home):
    home.finished_run("r", rows=10)
    at = Position(1, 1, 1, 4)
    for name, cursor in {
        "behind": Cursor(at, rows=4),
        "done": Cursor(at, rows=10, ended=True, dead_letters=2),
        "live": Cursor(at, rows=10),
        "away": Cursor(at, rows=4, status="unavailable", reason="503"),
    }.items():
        save_cursor(OsFiles(), home.home.cursor("r", name), cursor)
    home.home.cursor("r", "torn").write_text("{")
    reader = open_home(home.path)
    states = {state.name: state for state in reader.sink_states(reader.find("r"))}
    assert {name: state.status for name, state in states.items()} == {
        "away": "unavailable",
        "behind": "lagging",
        "done": "done",
        "live": "live",
        "torn": "unreadable",
    }
    assert (states["behind"].lag_rows, states["away"].reason, states["done"].dead_letters) == (
        6,
        "503",
        2,
    )


def test_the_ledger_names_what_was_lost(home):
    run = home.run("r")
    run.stream(rank=3).lose(5)
    reader = open_home(home.path)
    (entry,) = reader.ledger(reader.find("r"))
    assert (entry.rank, entry.items, entry.first, entry.last, entry.reason) == (
        3,
        5,
        1,
        5,
        "ring full",
    )
