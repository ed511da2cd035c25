"""Versions and changes: what is news, to whom, and what is not."""

from __future__ import annotations

import shutil

import pytest

from exptrack_daemon.store.reader import HomeReader, open_home
from exptrack_daemon.web.index import RunIndex
from tests.support.homes import HomeBuilder, TurnedClock


class Turning(TurnedClock):
    """Each look is due."""

    def monotonic_s(self):
        self.seconds += 10
        return self.seconds


@pytest.fixture
def homes(home):
    builder = HomeBuilder(home)
    for name in ("a", "b"):
        builder.finished_run(name)
    return builder


@pytest.fixture
def reader(homes):
    return open_home(homes.path)


@pytest.fixture
def index(homes):
    return RunIndex(homes.home, Turning())


def changed(news):
    return sorted(run.view.id for run in news.runs)


def test_without_a_cursor_the_running_ones_are_told_and_with_it_nothing_is_news(index, reader):
    news = index.news(reader, None)
    assert (changed(news), news.is_all) == ([], True)
    again = index.news(reader, news.cursor)
    assert (again.cursor, again.runs, again.gone, again.is_all) == (news.cursor, [], [], False)


@pytest.mark.parametrize("cursor", ["", "x", "00000000-1", "-1", "1", "\ud800-3", "a-" + "9" * 40])
def test_a_cursor_that_is_none_of_ours_is_like_none(index, reader, cursor):
    assert index.news(reader, cursor).is_all


def test_rows_a_new_run_and_a_removed_one_are_news_once(index, homes, reader):
    cursor = index.news(reader, None).cursor
    run = homes.run("c")
    stream = run.stream()
    news = index.news(reader, cursor)
    assert changed(news) == ["c"]
    stream.log({"loss": 1.0}, 7)
    news = index.news(reader, news.cursor)
    assert [(seen.view.id, seen.view.facts.last_step) for seen in news.runs] == [("c", 7)]
    assert index.news(reader, news.cursor).runs == []
    run.close()
    shutil.rmtree(homes.home.run("a"))
    news = index.news(reader, news.cursor)
    assert news.gone == ["a"]
    assert "a" not in changed(news)
    assert index.get(reader, ["a", "b"])[0].view.id == "b"


def test_a_version_changes_with_its_run_only(index, homes, reader):
    _, before = index.versions(reader)
    open_run = homes.run("c")
    open_run.stream()
    _, after = index.versions(reader)
    assert {run: after[run] for run in before} == before
    open_run.stream()
    assert index.versions(reader)[1]["c"] != after["c"]
    open_run.close()


def test_changed_names_tags_and_notes_are_news(index, reader):
    cursor = index.news(reader, None).cursor
    reader.annotate("a", name="other", add_tags=["t"])
    news = index.news(reader, cursor)
    assert [(seen.view.id, seen.view.run.name) for seen in news.runs] == [("a", "other")]
    reader.annotate("a", notes="more")
    assert changed(index.news(reader, news.cursor)) == ["a"]


def test_a_trainer_that_dies_without_a_word_is_news(index, homes, reader, monkeypatch):
    run = homes.run("c")
    run.stream()
    run.close()
    monkeypatch.setattr(HomeReader, "is_alive", lambda *_: True)
    news = index.news(reader, None)
    assert [seen.view.status.name for seen in index.get(reader, ["c"])] == ["running"]
    monkeypatch.setattr(HomeReader, "is_alive", lambda *_: False)
    (seen,) = index.news(reader, news.cursor).runs
    assert (seen.view.id, seen.view.status.name) == ("c", "crashed")


def test_pages_that_ask_in_the_same_moment_share_a_look_and_own_changes_are_seen_at_once(
    homes, reader
):
    clock = TurnedClock()
    clock.seconds = 100
    index = RunIndex(homes.home, clock)
    cursor = index.news(reader, None).cursor
    homes.finished_run("c")
    assert index.news(reader, cursor).runs == []
    index.forget_look()
    assert changed(index.news(reader, cursor)) == ["c"]
    homes.finished_run("d")
    assert [seen.view.id for seen in index.get(reader, ["d", "none"])] == ["d"]


def test_names_in_the_folder_that_are_no_runs_are_left_alone(index, homes, reader):
    for name in (".hidden", "no-journal", "a b"):
        (homes.home.runs / name).mkdir()
    (homes.home.runs / "file").write_text("")
    assert sorted(index.versions(reader)[1]) == ["a", "b"]
