"""The reading threads: each has a reader of its own, sharing series, and no lane waits for another."""

from __future__ import annotations

import asyncio
import threading

import pytest

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.web.readers import Readers
from exptrack_daemon.web.state import Studio
from tests.support.homes import HomeBuilder


def test_a_thread_keeps_its_reader_and_shares_it_with_none(tmp_path):
    readers = Readers(tmp_path)
    barrier = threading.Barrier(3, timeout=20)

    def who(reader):
        barrier.wait()
        return threading.get_ident(), id(reader)

    async def ask():
        first = await asyncio.gather(*(readers.ask(who, "long") for _ in range(3)))
        return first + await asyncio.gather(*(readers.ask(who, "long") for _ in range(3)))

    answers = asyncio.run(ask())
    readers.close()
    assert len(set(answers)) == len({thread for thread, _ in answers}) == 3


def test_threads_share_what_is_kept_of_series_and_see_each_row_that_comes(tmp_path):
    home = HomeBuilder(tmp_path)
    runs = [home.run(f"r{number}") for number in range(3)]
    streams = [run.stream() for run in runs]
    readers = Readers(home.path)

    def points(reader):
        names = ["loss"]
        cells = [reader.cells(run.run_id, names, width=64, lo=0, hi=63)["loss"] for run in runs]
        found = [reader.series(run.run_id, names)["loss"] for run in runs]
        listed = [reader.metrics(run.run_id)[0].points for run in runs]
        return [len(one) for one in found], [int(one.count.sum()) for one in cells], listed

    async def ask():
        return await asyncio.gather(*(readers.ask(points, "long") for _ in range(6)))

    for step in range(20):
        for stream in streams:
            stream.log({"loss": float(step)}, step)
        for answer in asyncio.run(ask()):
            assert answer == ([step + 1] * 3,) * 3
    kept = asyncio.run(readers.ask(lambda reader: reader.series_cache, "long"))
    assert asyncio.run(readers.ask(lambda reader: reader.series_cache, "health")) is kept
    readers.close()
    for run in runs:
        run.close()


def test_what_is_quick_does_not_wait_for_what_is_long(tmp_path):
    readers = Readers(tmp_path, long_threads=1)
    go_on = threading.Event()

    async def ask():
        slow = asyncio.ensure_future(readers.ask(lambda _: go_on.wait(20), "long"))
        quick = await readers.ask(lambda _: "quick")
        go_on.set()
        return quick, await slow

    assert asyncio.run(ask()) == ("quick", True)
    readers.close()


def test_what_a_question_raises_reaches_who_asked(tmp_path):
    (tmp_path / "file").write_text("")
    readers = Readers(tmp_path / "file")
    with pytest.raises(HomeUnusable):
        asyncio.run(readers.ask(lambda reader: reader.runs()))
    readers.close()


def test_a_studio_makes_its_parts_once_and_closes_without_having_made_any(tmp_path):
    studio = Studio(tmp_path)
    studio.close()
    other = Studio(tmp_path)
    assert other.charts is other.charts
    assert other.watch is other.watch
    other.close()
