"""Whether a line of the catalogue is all that a run's journal holds."""

from __future__ import annotations

import os

import pytest

from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog_list import Line
from exptrack_daemon.store.currency import has_more, is_behind
from tests.support.homes import HomeBuilder


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


def line_of(home, run_id):
    return Line(run_id, open_home(home.path).view(run_id).facts.position)


@pytest.mark.parametrize("rows", [1, 3, 900])
def test_a_line_made_from_the_whole_journal_is_current(home, rows):
    home.finished_run("r", rows=rows)
    assert not has_more(home.home, line_of(home, "r"))


def test_any_further_frame_is_seen_wherever_a_block_ends(home):
    run = home.run("r")
    stream = run.stream()
    line = line_of(home, "r")
    for step in range(700):
        if step % 50 == 0:
            line = line_of(home, "r")
        stream.log({"a": 1}, step)
        assert has_more(home.home, line), step
    stream.close()
    assert has_more(home.home, line)


def test_a_further_segment_is_seen(home):
    run = home.finished_run("r")
    line = line_of(home, "r")
    assert not has_more(home.home, line)
    stream = run.stream()
    stream.close()
    assert has_more(home.home, line)


def test_a_journal_that_is_gone_shorter_or_another_is_not_the_lines(home):
    home.finished_run("r")
    line = line_of(home, "r")
    segment = home.home.journal("r") / "00000001.seg"
    os.truncate(segment, line.position.offset - 1)
    assert has_more(home.home, line)
    segment.unlink()
    assert has_more(home.home, line)


def test_the_catalogue_is_behind_when_streams_came_after_it_was_written(home):
    home.path.mkdir(exist_ok=True)
    assert not is_behind(home.home)
    home.home.live.write_text("[]")
    assert is_behind(home.home)
    log = home.home.catalog.with_name("catalog.sqlite-wal")
    log.write_text("")
    os.utime(home.home.live, ns=(5, 5))
    assert not is_behind(home.home)
