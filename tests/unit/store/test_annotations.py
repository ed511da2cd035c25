"""What people change about a run afterwards: kept whole, private, and never at the cost of a newer file."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.store import open_home
from exptrack_daemon.store.annotations import (
    SCHEMA_VERSION,
    Annotation,
    AnnotationsUnusable,
    AnnotationWrong,
    Edit,
    edit_annotation,
    forget_annotation,
    read_annotations,
)
from tests.support.homes import HomeBuilder

RUN = RunInfo("r", "p", "own", 1, tags=("a", "b"), notes="first")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations.sqlite"


def test_edits_add_up_and_each_can_be_taken_back(path):
    edit_annotation(path, "r", Edit(name=" new ", add_tags=("c", "c"), remove_tags=("a",)), 1)
    after = edit_annotation(path, "r", Edit(notes="second"), 2)
    assert read_annotations(path) == {"r": after}
    assert after == Annotation("new", ("c",), ("a",), "second", archived=False, updated_ns=2)
    run = after.over(RUN)
    assert (run.name, run.tags, run.notes, run.project) == ("new", ("b", "c"), "second", "p")
    back = edit_annotation(path, "r", Edit(name="", add_tags=("a",), remove_tags=("c",)), 3)
    assert back.over(RUN).name == "own"
    assert back.over(RUN).tags == ("a", "b")


def test_no_file_means_no_changes_and_makes_none(path):
    assert read_annotations(path) == {}
    forget_annotation(path, "r")
    assert not path.exists()


def test_the_file_is_private_in_wal_mode_and_has_a_version(path):
    edit_annotation(path, "r", Edit(name="n"), 1)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_newer_file_is_refused_untouched(path):
    edit_annotation(path, "r", Edit(name="n"), 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for attempt in (
        lambda: read_annotations(path),
        lambda: edit_annotation(path, "r", Edit(name="m"), 2),
        lambda: forget_annotation(path, "r"),
    ):
        with pytest.raises(AnnotationsUnusable, match="install a newer exptrack"):
            attempt()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database" * 99, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_file_is_said_and_left_as_it_is(path, content):
    path.write_bytes(content)
    for attempt in (
        lambda: read_annotations(path),
        lambda: edit_annotation(path, "r", Edit(name="m"), 2),
        lambda: forget_annotation(path, "r"),
    ):
        with pytest.raises(AnnotationsUnusable, match=r"can't be (read|written)"):
            attempt()
    assert path.read_bytes() == content


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AnnotationsUnusable):
        edit_annotation(path, "r", Edit(name="m"), 2)
    assert not (tmp_path / "elsewhere").exists()


def test_a_home_that_cannot_be_written_can_be_read(path):
    edit_annotation(path, "r", Edit(name="n"), 1)
    path.parent.chmod(0o500)
    try:
        assert read_annotations(path)["r"].name == "n"
    finally:
        path.parent.chmod(0o700)


def test_several_writers_lose_nothing_of_each_other(path):
    edit_annotation(path, "r", Edit(), 1)

    def add(number):
        for at in range(5):
            edit_annotation(path, "r", Edit(add_tags=(f"{number}-{at}",)), 2)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_annotations(path)["r"].tags_added) == 20


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "n" * 257}, "a name can have 256 characters at most, not 257"),
        ({"notes": "\0"}, "characters that no file can hold"),
        ({"notes": "\ud800"}, "characters that no file can hold"),
        ({"add_tags": (" ",)}, "a tag can't be empty"),
        ({"remove_tags": ("t" * 257,)}, "a tag can have 256"),
    ],
)
def test_what_no_run_can_be_called_is_refused(given, said):
    with pytest.raises(AnnotationWrong, match=said):
        Edit(**given)


def test_a_run_has_only_so_many_tags(path):
    with pytest.raises(AnnotationWrong, match="256 further tags"):
        edit_annotation(path, "r", Edit(add_tags=tuple(map(str, range(257)))), 1)
    assert read_annotations(path) == {}


def test_what_is_forgotten_is_gone(path):
    edit_annotation(path, "r", Edit(name="n"), 1)
    edit_annotation(path, "s", Edit(name="n"), 1)
    forget_annotation(path, "r")
    assert list(read_annotations(path)) == ["s"]


def test_all_readers_see_the_changes_and_the_facts_stay_the_journals(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r", name="own", project="p", tags=["a"])
    reader = open_home(home.path)
    run = reader.annotate("r", name="better", add_tags=["b"], notes="why")
    assert (run.name, run.tags, run.notes) == ("better", ("a", "b"), "why")
    view = open_home(home.path).find("p/better")
    assert view.run == run
    assert view.facts.run.name == "own"
    assert reader.runs()[0].run == reader.views(["r"])[0].run == run
    with pytest.raises(RunNotFound):
        reader.find("own")


def test_only_a_run_that_is_there_can_be_changed(tmp_path):
    home = HomeBuilder(tmp_path)
    for run_id in ("nope", "../x"):
        with pytest.raises(RunNotFound, match="there is no run"):
            open_home(home.path).annotate(run_id, name="x")
    assert not home.home.annotations.exists()


def test_readers_do_without_a_file_that_cannot_be_used_and_say_so(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r", name="own")
    home.home.annotations.write_bytes(b"rubbish" * 99)
    reader = open_home(home.path)
    assert reader.find("own").run.name == "own"
    assert reader.query().rows[0].name == "own"
    assert len(reader.notices) == 1
    assert "changed names, tags and notes are not shown" in reader.notices[0]
    with pytest.raises(AnnotationsUnusable):
        reader.annotate("r", name="x")
