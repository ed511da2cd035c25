"""The trash: whole runs go in, whole runs come back, and nothing goes for good by accident."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.errors import HomeUnusable, RunNotFound
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.sinks.tensorboard.folders import claim_folder
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import consult, open_writing
from exptrack_daemon.store.catalog_list import read_fields
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_daemon.store.trash import empty, read_trash, restore, size_of, throw_away
from tests.support.homes import HomeBuilder


@pytest.fixture
def home(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r1", project="mnist", name="wide")
    home.finished_run("r2", project="mnist", name="deep")
    connection, _ = open_writing(home.home)
    with closing(connection):
        for run_id in ("r1", "r2"):
            save(connection, open_home(home.path).view(run_id).facts, Saved())
    board = claim_folder(home.home.tensorboard, open_home(home.path).view("r1").facts.run)
    (board / "events").write_bytes(b"e" * 100)
    save_cursor(OsFiles(), home.home.cursor("r1", "catalog"), Cursor(rows=3))
    return home


def run_cli(home, *arguments, code=0, **options):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout + result.stderr if code else result.stdout


def files_below(path):
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_a_run_comes_back_byte_for_byte_and_asks_to_be_catalogued(home):
    board = home.home.tensorboard / "mnist" / "wide"
    before = files_below(home.home.run("r1")), files_below(board)
    run_cli(home, "rm", "wide", "--yes")
    assert [row.id for row in open_home(home.path).query().rows] == ["r2"]
    assert not board.exists()
    assert list(consult(home.home, lambda c: read_fields(c, ["name"]))["name"]) == ["r2"]
    assert "mnist/wide (r1) is back." in run_cli(home, "restore", "wide")
    request = home.home.cursor("r1", "catalog").with_suffix(".replay")
    assert request.exists()
    request.unlink()
    assert (files_below(home.home.run("r1")), files_below(board)) == before
    assert read_trash(home.home) == []


def test_rm_asks_first_and_no_means_no(home):
    shown = run_cli(home, "rm", "r1", "r2", code=1, input="n\n")
    assert "mnist/wide (r1)" in shown
    assert "Move 2 runs to the trash?" in shown
    assert len(open_home(home.path).run_ids()) == 2


def test_rm_refuses_a_run_that_is_written_or_whose_rows_wait(home):
    stream = home.run("r3").stream(pid=os.getpid())
    home.home.live.write_text(
        '[{"stream": "0", "run_id": "r3", "rank": 0, "host": "h", "pid": 1, "opened_ns": 1}]'
    )
    assert "is running" in run_cli(home, "rm", "r1", "r3", "--yes", code=2)
    home.home.live.unlink()
    (home.home.spool / stream.id.hex()).mkdir(parents=True)
    assert "exptrack recover" in run_cli(home, "rm", "r3", "--yes", code=2)
    assert len(open_home(home.path).run_ids()) == 3


def test_the_trash_is_listed_and_emptied(home):
    run_cli(home, "rm", "r1", "r2", "--yes")
    shown = run_cli(home, "trash")
    assert "mnist/wide" in shown
    assert "mnist/deep" in shown
    assert '"run_id": "r1"' in run_cli(home, "trash", "--json")
    run_cli(home, "trash", "--empty", code=1, input="n\n")
    assert "freed" in run_cli(home, "trash", "--empty", "--yes")
    assert run_cli(home, "trash") == "The trash is empty.\n"
    assert run_cli(home, "runs").startswith("No runs in")


def test_what_was_written_about_a_run_stays_until_it_is_gone_for_good(home):
    open_home(home.path).annotate("r1", add_tags=["good"])
    for _ in range(2):
        throw_away(home.home, open_home(home.path).view("r1").facts.run, None, 1)
        restore(home.home, "r1")
    assert open_home(home.path).query("tag:good").total == 1
    throw_away(home.home, open_home(home.path).view("r1").facts.run, None, 1)
    ((place, removed),) = read_trash(home.home)
    assert empty(home.home, place, removed) > 0
    assert open_home(home.path).annotations() == {}


def test_two_runs_of_one_id_keep_apart_and_the_last_comes_back_first(home):
    throw_away(home.home, open_home(home.path).view("r1").facts.run, None, 1)
    home.finished_run("r1", rows=7)
    throw_away(home.home, open_home(home.path).view("r1").facts.run, None, 2)
    assert [place.name for place, _ in read_trash(home.home)] == ["r1~2", "r1"]
    restore(home.home, "r1")
    assert open_home(home.path).view("r1").facts.rows == 7
    with pytest.raises(HomeUnusable, match="there is a run r1 already"):
        restore(home.home, "r1")
    with pytest.raises(RunNotFound, match="no run 'x' in the trash"):
        restore(home.home, "x")


def test_sizes_count_files_and_not_what_links_point_to(home, tmp_path):
    folder = tmp_path / "sized"
    folder.mkdir()
    (folder / "file").write_bytes(b"x" * 1_000)
    (folder / "link").symlink_to(home.home.run("r1"))
    assert 1_000 < size_of(folder) < 2_000


def test_gc_shows_first_and_removes_for_good_with_yes_only(home):
    shown = run_cli(home, "gc", "--older-than", "30d", "--keep-last", "1")
    assert "mnist/wide" not in shown  # a sink has not taken all of it
    home.home.cursor("r1", "catalog").unlink()
    shown = run_cli(home, "gc", "--older-than", "30d", "--keep-last", "1")
    assert "would be freed. Do it: --yes" in shown
    assert len(open_home(home.path).run_ids()) == 2
    assert "2 runs removed" in run_cli(home, "gc", "--larger-than", "0", "--yes")
    assert open_home(home.path).run_ids() == []
    assert read_trash(home.home) == []


def test_gc_wants_a_rule_that_can_be_read(home):
    assert "say which runs may go" in run_cli(home, "gc", "--yes", code=2)
    assert "is no size" in run_cli(home, "gc", "--larger-than", "much", code=2)
    assert "no length of time" in run_cli(home, "gc", "--older-than", "long", code=2)
    assert run_cli(home, "gc", "--tag", "old") == "Nothing to remove.\n"
