"""What the delivery loop relies on holds for every sink that is installed and works without a network."""

from __future__ import annotations

import threading
from dataclasses import replace

import psutil
import pytest

from exptrack_daemon.errors import ConfigInvalid, SinkBroken
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.sinks import registry
from exptrack_daemon.sinks.base import Batch, Rows, SinkContext
from exptrack_daemon.sinks.registry import find_sink, sink_names
from exptrack_proto.records import Hparams, Summary, TextItem
from tests.support.clocks import FakeClock
from tests.support.homes import HomeBuilder

LOCAL = ["catalog", "memory", "mlflow", "store", "tensorboard"]


@pytest.fixture
def home(home):
    """A run of two ranks with rows and events."""
    run = HomeBuilder(home).run("r1")
    streams = [run.stream(rank=rank, world_size=2) for rank in (0, 1)]
    for step in range(8):
        for stream in streams:
            stream.log({"loss": 1.0 / (step + 1), "text": "x", "nan": float("nan")}, step)
        if step == 3:
            streams[0].put(TextItem(name="t", step=3, time_ns=1, text="# hello"))
            streams[0].put(Hparams(time_ns=1, hparams='{"lr": 0.1}', metrics="{}"))
            streams[0].lose(2)
    streams[0].put(Summary(time_ns=1, values='{"best": 1}'))
    for stream in streams:
        stream.close()
    run.close()
    return home


@pytest.fixture
def batches(home):
    """The run's journal, one batch a frame."""
    replay, made = Replay("r1"), []
    for reading in JournalReader(OsFiles(), Home(home).journal("r1"), "r1").read_all():
        for found in reading.frames:
            entry = replay.entries(found)
            made.append(Batch(replay.run, (entry,), found.start, found.end))
    assert len(made) > 20
    return made


@pytest.fixture(params=LOCAL)
def opened(request, home, batches):
    """Opens the sink, as a worker does; with a state: again."""
    where = Home(home)
    if request.param == "mlflow":
        pytest.importorskip("mlflow")
        from tests.support import mlflow_places

        mlflow_places.prepare(home)
    context = SinkContext(where, where.run("r1"), {}, FakeClock(), lambda _pid: None)
    open_sink = find_sink(request.param)
    return lambda saved=None: open_sink(batches[0].run, context, saved)


def test_the_sinks_of_this_package_are_registered():
    assert {*LOCAL, "wandb"} <= set(sink_names())


def test_settled_names_the_end_of_something_that_was_handed_over_and_never_goes_back(
    opened, batches
):
    sink = opened()
    assert sink.settled() is None
    handed, last = set(), batches[0].start
    for batch in batches:
        sink.write(batch)
        handed.add(batch.end)
        settled = sink.settled()
        if settled is not None:
            assert settled.end in handed
            assert settled.end > last
            last = settled.end
    sink.close()
    settled = sink.settled()
    assert (settled.end if settled else last) == batches[-1].end, "in the end everything is safe"


def test_nothing_new_settles_twice(opened, batches):
    sink = opened()
    sink.write(batches[0])
    sink.settled()
    assert sink.settled() is None
    sink.close()


def test_closing_twice_is_harmless_and_leaves_no_thread_child_or_file_behind(opened, batches):
    process = psutil.Process()
    before = threading.active_count(), len(process.children()), process.num_fds()
    for _ in range(3):
        sink = opened()
        for batch in batches[:5]:
            sink.write(batch)
        sink.close()
        sink.close()
    after = threading.active_count(), len(process.children()), process.num_fds()
    assert after[:2] == before[:2]
    assert after[2] <= before[2] + 2


@pytest.mark.parametrize("at", [1, 4, 11, 19])
def test_a_state_that_was_given_can_be_gone_on_from(opened, batches, at):
    """With a kill (no close) after more was written than had settled."""
    sink = opened()
    state = None
    for batch in batches[:at]:
        sink.write(batch)
        state = sink.settled() or state
    for batch in batches[at : at + 2]:
        sink.write(batch)
    if state is None:
        pytest.skip("settles nothing so early")
    again = opened(dict(state.state))
    for batch in batches:
        if batch.end > state.end:
            again.write(batch)
    again.close()
    settled = again.settled()
    assert settled is None or settled.end == batches[-1].end
    sink.close()


def test_the_same_batch_in_halves_is_as_good(opened, batches):
    sink = opened()
    for batch in batches:
        (entry,) = batch.entries
        if isinstance(entry, Rows):
            for number, row in enumerate(entry.rows):
                part = replace(
                    entry, first=entry.first + number, ordinal=entry.ordinal + number, rows=[row]
                )
                sink.write(replace(batch, entries=(part,)))
        else:
            sink.write(batch)
    sink.close()


def test_a_name_that_nobody_offers_and_one_that_cannot_be_imported_are_told_apart(monkeypatch):
    with pytest.raises(ConfigInvalid, match=r"there is no sink 'nosuch'; installed are .*catalog"):
        find_sink("nosuch")

    class Point:
        name = "wandb"

        def load(self):
            raise ImportError("No module named 'wandb'")

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()])
    with pytest.raises(SinkBroken, match=r"pip install 'exptrack\[wandb\]'"):
        find_sink("wandb")
