"""I9 for the TensorBoard sink: whatever the batching and wherever it is killed, the files are the same bytes.

And what they hold: every number of every row exactly once, and in every folder but the last late one the
steps of a tag rise within an attempt, which is what keeps TensorBoard's default reader from dropping any.
"""

import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_daemon.sinks.tensorboard.lanes import MOST_LATE
from exptrack_daemon.sinks.tensorboard.readback import read_events
from exptrack_proto.records import (
    Alert,
    Array,
    ConfigUpdate,
    Histogram,
    Hparams,
    Image,
    TextItem,
)
from tests.support.tensorboard_journal import (
    Journal,
    batches,
    contents,
    context,
    project,
    run_info,
    stream,
)

names = st.sampled_from(["a", "b", "ü"])
few = st.integers(0, 4)
steps = st.one_of(few, few, few, st.integers(-(2**63), 2**63 - 1))
numbers = st.one_of(st.floats(width=32), st.integers(-(2**63), 2**64 - 1), st.booleans())
values = st.dictionaries(
    names, st.one_of(numbers, numbers, st.none(), st.text(max_size=3)), max_size=4
)
rows = st.lists(st.tuples(steps, values), min_size=1, max_size=5)
plain = st.just(stream())
others = st.builds(
    stream,
    rank=st.integers(0, 1),
    attempt=st.integers(1, 3),
    role=st.sampled_from(["trainer", "sampler"]),
)
# Mostly one writer, so that what it wrote before matters to what it writes next.
writers = st.one_of(plain, plain, plain, others)
pixel = Array(dtype="f4", shape=[1, 1], data=b"\0\0\0\x3f")
media = st.one_of(
    st.builds(
        Image, name=names, step=steps, time_ns=st.just(7), pixels=st.just(pixel), caption=names
    ),
    st.builds(Histogram, name=names, step=steps, time_ns=st.just(7), values=st.just(pixel)),
    st.builds(TextItem, name=names, step=steps, time_ns=st.just(7), text=st.text(max_size=3)),
    st.builds(Alert, time_ns=st.just(8), title=names),
    st.builds(ConfigUpdate, time_ns=st.just(8), config=st.sampled_from(["{}", '{"x": 1}'])),
    st.builds(
        Hparams,
        time_ns=st.just(8),
        hparams=st.sampled_from(["{}", '{"y": [1]}']),
        metrics=st.sampled_from(["{}", '{"a": 1, "m": 2}']),
    ),
)
entries = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), rows, writers),
        st.tuples(st.just("item"), media, writers),
        st.tuples(st.just("open"), st.none(), writers),
        st.tuples(st.just("close"), st.sampled_from(["finished", "failed", "crashed"]), writers),
    ),
    min_size=1,
    max_size=14,
)
configs = st.sampled_from([{}, {"lr": 0.1}])


def journal_of(made, config):
    journal = Journal(run_info(config=config))
    for kind, what, writer in made:
        match kind:
            case "rows":
                journal.rows(what, writer)
            case "item":
                journal.item(what, writer)
            case "open":
                journal.open(writer)
            case _:
                journal.close(what, writer)
    return journal


def split_rows(journal):
    """The same journal with a frame for each row: as small as batches can get."""
    split = Journal(journal.run)
    for entry in journal.entries:
        if hasattr(entry, "rows"):
            for row in entry.rows:
                split.rows([(row.step, row.values)], entry.stream)
        else:
            split.item(entry.item, entry.stream)
    return split.entries


def deliver_with_kills(journal, data, home):
    """Random batches; now and then the sink dies and the loop goes on from a state settled before."""
    pieces = split_rows(journal)
    saved_at = {0: None}
    sink, done = open_sink(journal.run, context(home), None), 0
    kills = data.draw(st.integers(0, 4), "kills")
    while done < len(pieces):
        size = data.draw(st.integers(1, 6), "entries in the batch")
        [batch] = batches(journal.run, [pieces[done : done + size]], done)
        sink.write(batch)
        done = min(done + size, len(pieces))
        if data.draw(st.booleans(), "settled"):
            saved_at[done] = json.loads(json.dumps(sink.settled().state))
        if kills and data.draw(st.booleans(), "killed"):
            kills -= 1
            done = data.draw(st.sampled_from(sorted(saved_at)), "goes on from")
            saved_at = {place: state for place, state in saved_at.items() if place <= done}
            sink = open_sink(journal.run, context(home), saved_at[done])
    sink.close()


@settings(max_examples=300, deadline=None)
@given(made=entries, config=configs, data=st.data())
def test_neither_batching_nor_kills_show_in_the_bytes(made, config, data):
    journal = journal_of(made, config)
    with tempfile.TemporaryDirectory() as folder:
        whole = contents(project(Path(folder) / "whole", journal))
        deliver_with_kills(journal, data, Path(folder) / "killed")
        killed = contents(Path(folder) / "killed" / "tensorboard" / "mnist" / "first~20try")
        assert killed == whole


def as_float32(number):
    from tensorboard.compat.proto.summary_pb2 import Summary

    return str(Summary.Value(simple_value=number).simple_value)


@settings(max_examples=150, deadline=None)
@given(made=st.lists(st.tuples(st.just("rows"), rows, writers), min_size=1, max_size=14))
def test_every_number_stands_exactly_once_and_rises_where_it_must(made):
    journal = journal_of(made, {})
    wanted = Counter(
        (row.step, as_float32(value))
        for entry in journal.entries
        for row in entry.rows
        for value in row.values.values()
        if value is not None and not isinstance(value, str)
    )
    found = Counter()
    with tempfile.TemporaryDirectory() as home:
        folder = project(Path(home), journal)
        for path in folder.rglob("*tfevents*"):
            points = list(points_of(path))
            found.update((step, str(number)) for _, step, number, _ in points)
            if path.parent.name != f"late_{MOST_LATE}":
                assert_steps_rise(points)
    assert found == wanted


def points_of(path):
    """(tag, step, value, how many rewinds stand before it)"""
    rewinds = 0
    for event in read_events(path):
        if event.HasField("summary") and not event.summary.value:
            rewinds += 1
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                yield value.tag, event.step, value.simple_value, rewinds


def assert_steps_rise(points):
    by_tag = {}
    for tag, step, _, rewinds in points:
        by_tag.setdefault(tag, []).append((step, rewinds))
    for places in by_tag.values():
        for (before, earlier), (after, later) in pairwise(places):
            assert before < after or earlier < later
