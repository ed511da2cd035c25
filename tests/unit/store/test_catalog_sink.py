"""The catalogue sink: exactly once, however it is stopped, repeated or robbed."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from exptrack_daemon.errors import SinkBroken, SinkUnavailable
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.sinks.base import Batch, SinkContext
from exptrack_daemon.sinks.catalog import open_sink
from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import consult
from exptrack_daemon.store.catalog_rows import load
from exptrack_daemon.store.journals import walk_all
from tests.support.homes import HomeBuilder, TurnedClock


class Delivery:
    """Hands a run's journal to the sink as the delivery loop does, a few frames a batch."""

    def __init__(self, home, run_id="r", frames=2):
        self.home, self.run_id, self.frames = home, run_id, frames
        self.context = SinkContext(
            home.home, home.home.run(run_id), {}, TurnedClock(), lambda pid: None
        )

    def batches(self):
        walk = walk_all(OsFiles(), self.home.home, self.run_id)
        found = list(walk.entries())
        for at in range(0, len(found), self.frames):
            part = found[at : at + self.frames]
            entries = tuple(entry for _, entry in part if entry is not None)
            yield Batch(walk.replay.run, entries, part[0][0].start, part[-1][0].end)

    def open(self, saved=None):
        return open_sink(next(self.batches()).run, self.context, saved)

    def deliver(self, sink, since=0, until=None):
        """Write batches and settle each; the last saved state."""
        state = None
        for batch in list(self.batches())[since:until]:
            sink.write(batch)
            state = sink.settled().state
        return state


@pytest.fixture
def home(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    zero, one = run.stream(config={"lr": 1}), run.stream(1)
    for step in range(6):
        zero.log({"loss": 1.0 / (step + 1)}, step)
        one.log({"loss": 9.0, "only": step}, step)
    zero.lose(2)
    zero.close()
    one.close()
    return home


def in_catalogue(home, run_id="r"):
    return consult(home.home, lambda connection: load(connection, run_id))


def expected(home, run_id="r"):
    home.home.catalog.rename(home.path / "hidden")
    try:
        return open_home(home.path).view(run_id).facts
    finally:
        (home.path / "hidden").rename(home.home.catalog)


def assert_right(home, run_id="r"):
    found, wanted = in_catalogue(home, run_id), expected(home, run_id)
    wanted.position = wanted.position._replace(offset=found.position.offset)  # marks are no frames
    assert found == wanted


def test_a_delivered_run_stands_in_the_catalogue_as_the_journal_has_it(home):
    delivery = Delivery(home)
    sink = delivery.open()
    delivery.deliver(sink)
    sink.close()
    assert_right(home)


def test_nothing_is_settled_before_something_is_written(home):
    sink = Delivery(home).open()
    assert sink.settled() is None
    sink.close()


@pytest.mark.parametrize("stopped_at", range(1, 8))
@pytest.mark.parametrize("cursor_behind", [0, 1, 3])
def test_a_worker_killed_anywhere_goes_on_without_a_double_or_a_gap(
    home, stopped_at, cursor_behind
):
    delivery = Delivery(home)
    sink = delivery.open()
    states = [delivery.deliver(sink, since=i, until=i + 1) for i in range(stopped_at)]
    at = max(0, stopped_at - cursor_behind)
    again = delivery.open(states[at - 1] if at else None)
    delivery.deliver(again, since=at)
    sink.close()
    again.close()
    assert_right(home)


def test_a_catalogue_behind_the_cursor_catches_up_by_itself(home):
    delivery = Delivery(home)
    sink = delivery.open()
    delivery.deliver(sink, until=2)
    sink.close()
    old = home.home.catalog.read_bytes()
    sink = delivery.open({"end": list(list(delivery.batches())[1].end)})
    state = delivery.deliver(sink, since=2, until=5)
    sink.close()
    home.home.catalog.write_bytes(old)
    for suffix in ("-wal", "-shm"):
        home.home.catalog.with_name(f"catalog.sqlite{suffix}").unlink(missing_ok=True)
    sink = delivery.open(state)
    assert in_catalogue(home).position.record == 10
    delivery.deliver(sink, since=5)
    sink.close()
    assert_right(home)


def test_a_replay_replaces_what_stood_there(home):
    delivery = Delivery(home)
    sink = delivery.open()
    delivery.deliver(sink)
    sink.close()
    with closing(sqlite3.connect(home.home.catalog)) as connection:
        connection.execute("UPDATE runs SET points = 12345")
        connection.execute("INSERT INTO summary VALUES ('r', 'rank0', 'wrong', '1')")
        connection.commit()
    sink = delivery.open()
    delivery.deliver(sink)
    sink.close()
    assert_right(home)


def test_a_catalogue_that_is_removed_while_open_is_made_again(home):
    delivery = Delivery(home)
    sink = delivery.open()
    delivery.deliver(sink, until=3)
    home.home.catalog.unlink()
    delivery.deliver(sink, since=3)
    sink.close()
    assert_right(home)


def test_a_damaged_catalogue_is_kept_aside_and_built_again(home):
    other = HomeBuilder(home.path)
    other.finished_run("other")
    save_cursor(OsFiles(), home.home.cursor("other", "catalog"), Cursor(ended=True))
    home.home.catalog.write_bytes(b"rubbish" * 1_000)
    delivery = Delivery(home)
    sink = delivery.open({"end": list(list(delivery.batches())[2].end)})
    delivery.deliver(sink, since=3)
    sink.close()
    assert_right(home)
    (kept,) = home.home.quarantine.iterdir()
    assert kept.read_bytes().startswith(b"rubbish")
    # the finished run has no lane any more: this makes the delivery loop feed it again
    assert home.home.cursor("other", "catalog").with_suffix(".replay").exists()
    assert not home.home.cursor("r", "catalog").with_suffix(".replay").exists()


def test_damage_found_while_writing_is_kept_aside_too(home):
    delivery = Delivery(home)
    sink = delivery.open()
    delivery.deliver(sink, until=2)
    with closing(sqlite3.connect(home.home.catalog)) as connection:
        connection.execute("DROP TABLE streams")
    sink.write(list(delivery.batches())[2])
    with pytest.raises(SinkUnavailable, match="is being rebuilt"):
        sink.settled()
    assert sink.settled() is not None
    delivery.deliver(sink, since=3)
    sink.close()
    assert_right(home)


def test_a_newer_catalogue_is_left_alone_for_good(home):
    with closing(sqlite3.connect(home.home.catalog)) as connection:
        connection.execute("PRAGMA user_version=99")
    before = home.home.catalog.read_bytes()
    with pytest.raises(SinkBroken, match="install a newer exptrack"):
        Delivery(home).open()
    assert home.home.catalog.read_bytes() == before


def test_a_locked_catalogue_is_asked_again_later(home, monkeypatch):
    monkeypatch.setattr("exptrack_daemon.store.catalog.BUSY_TIMEOUT_S", 0.0)
    delivery = Delivery(home)
    sink = delivery.open()
    batches = list(delivery.batches())
    with closing(sqlite3.connect(home.home.catalog, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.write(batches[0])
        with pytest.raises(SinkUnavailable, match="locked"):
            sink.settled()
        other.execute("ROLLBACK")
    assert sink.settled().end == batches[0].end
    delivery.deliver(sink, since=1)
    sink.close()
    assert_right(home)


def test_two_runs_are_written_side_by_side(home):
    HomeBuilder(home.path).finished_run("other")
    one, two = Delivery(home), Delivery(home, "other")
    sinks = one.open(), two.open()
    one.deliver(sinks[0], until=2)
    two.deliver(sinks[1])
    one.deliver(sinks[0], since=2)
    for sink in sinks:
        sink.close()
    assert_right(home)
    assert_right(home, "other")
