"""The MLflow sink with the real library and a real database."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from exptrack_daemon.errors import BatchRejected, SinkUnavailable
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, SinkContext
from exptrack_proto import records
from exptrack_proto.records import Row
from tests.support.clocks import FakeClock
from tests.support.wandb_journal import START_NS, Script, array, entries_of, stream

pytest.importorskip("mlflow")

from exptrack_daemon.sinks.mlflow import open_sink
from tests.support.mlflow_places import Reader, prepare

START_MS = START_NS // 10**6


class Feed:
    """Hands entries over as the delivery loop does, and keeps what was settled."""

    def __init__(self, home, script=None, settings=None):
        self.home, self.script = home, script or Script()
        where = Home(home)
        folder = where.run(self.script.run_id)
        self.context = SinkContext(where, folder, settings or {}, FakeClock(), lambda _pid: None)
        self.state, self.count, self.rows = None, 0, 0
        self.sink = None

    def open(self, state=None):
        self.sink = open_sink(self.script.info, self.context, state)
        return self

    def write(self, *entries, settle=True):
        start = Position(1, self.count, self.count, self.rows)
        rows = sum(len(entry.rows) for entry in entries if isinstance(entry, Rows))
        self.count, self.rows = self.count + len(entries), self.rows + rows
        end = Position(1, self.count, self.count, self.rows)
        self.sink.write(Batch(self.script.info, tuple(entries), start, end))
        if settle:
            settled = self.sink.settled()
            assert settled.end == end
            self.state = json.loads(json.dumps(settled.state))
        return self


@pytest.fixture
def feed(tmp_path):
    prepare(tmp_path)
    return lambda script=None, **settings: Feed(tmp_path, script, settings).open()


@pytest.fixture
def held(tmp_path):
    return Reader(tmp_path)


def event(item, *, rank=0, sequence=1, attempt=1, ordinal=0):
    given = {"time_ns": START_NS, **item}
    made = msgspec.convert(given, type=records.Item)
    return Event(stream(rank=rank, attempt=attempt), sequence, ordinal, made)


def rows(*made, ordinal=0, rank=0, role="trainer"):
    return Rows(stream(rank=rank, role=role), ordinal + 1, ordinal, [Row(*row) for row in made])


def test_a_run_becomes_one_run_with_params_tags_metrics_and_its_end(feed, held):
    script = Script(rows=100, config={"lr": 0.1, "net": {"depth": 3, "act": "relu"}, "": None})
    feed(script).write(*entries_of(script))
    assert list(held.runs().values()) == ["FINISHED"]
    assert held.experiments() == ["the-project"]
    assert held.params() == {"lr": "0.1", "net/depth": "3", "net/act": "relu", "_x_": "null"}
    assert sorted(held.steps("i"), reverse=True) == list(range(1_000_000, 999_900, -1))
    assert len(held.metrics()) == 300
    tags = held.tags()
    assert tags["mlflow.runName"] == "name of run-1"
    assert tags["mlflow.note.content"] == "some notes"
    assert {tags["a-tag"], tags["exptrack.run_id"]} == {"true", "run-1"}
    assert {tags["exptrack.group"], tags["exptrack.job_type"]} == {"the-group", "train"}
    assert tags["exptrack.place"] == "99+3"


def test_odd_values_steps_and_names_arrive_as_mlflow_has_them(feed, held):
    inf = float("inf")
    feed().write(
        rows(
            (-5, START_NS, {"a": float("nan"), "b": inf, "c": -inf, "d": True, "e": 2**63}),
            (2**63 - 1, START_NS, {"a": 1, "text": "warm", "none": None}),
            (-(2**63), START_NS, {"a": 2.5, "é 1:2": 1, "a//b": 2, "../x": 3, "50%": 4, "": 5}),
        ),
        rows((7, START_NS, {"a": 0.5}), ordinal=3, rank=3),
        rows((1, START_NS, {"system/cpu": 12}), ordinal=4, role="sampler"),
    )
    found = {(one.key, one.step): one.value for one in held.metrics()}
    largest = 1.7976931348623157e308
    assert found[("a", -5)] is None
    assert [found[(name, -5)] for name in "bcde"] == [largest, -largest, 1.0, 2.0**63]
    assert found[("a", 2**63 - 1)] == 1
    assert found[("a", -(2**63))] == 2.5
    escaped = ("é 1:2", "a_x2f__x2f_b", "_x2e_._x2f_x", "50_x25_", "_x_")
    assert [found[(name, -(2**63))] for name in escaped] == [1, 2, 3, 4, 5]
    assert found[("rank_3/a", 7)] == 0.5
    assert found[("system/cpu", 1)] == 12
    assert held.tags()["text/text"] == "warm"


def test_rows_wider_than_a_call_and_long_names_fit(feed, held):
    wide = {f"{'n' * 245}{n:04}": float(n) for n in range(2_500)}
    feed().write(rows((1, START_NS, wide)))
    assert sorted(one.value for one in held.metrics()) == list(range(2_500))
    assert held.tags()["exptrack.place"] == "0+2500"


@pytest.mark.parametrize("after", ["a crash", "a replay"])
def test_what_comes_again_is_not_doubled(feed, held, after):
    script = Script(rows=60, media_every=2)
    entries = entries_of(script)
    first = feed(script).write(*entries[:4])
    first.write(*entries[4:], settle=False)
    before = held.metrics(), held.files(), held.tags(), held.runs()
    if after == "a crash":
        again = feed(script).open(first.state)
        again.write(*entries[4:])
    else:
        feed(script).write(*entries)
    assert (held.metrics(), held.files(), held.tags(), held.runs()) == before
    assert sorted(held.steps("i"), reverse=True) == list(range(1_000_000, 999_940, -1))


def test_points_committed_without_their_tag_are_not_doubled(feed, held, tmp_path):
    """MLflow commits metrics first, then tags; a kill may fall between."""
    made = rows(
        *((step, START_NS + step, {"a": 0.5 * step, "n": float("nan")}) for step in range(9))
    )
    feed().write(made, settle=False)
    before = held.metrics()
    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as database:
        database.execute("DELETE FROM tags WHERE key = 'exptrack.place'")
    database.close()
    feed().write(made)
    assert held.metrics() == before
    assert held.tags()["exptrack.place"] == "8+2"


def test_a_second_attempt_goes_on_in_the_same_run(feed, held):
    script = Script(rows=20, second_attempt_rows=10)
    entries = entries_of(script)
    first = feed(script).write(*entries[:4])
    assert list(held.runs().values()) == ["FINISHED"]
    again = feed(script).open(first.state)
    again.count, again.rows = first.count, first.rows
    again.write(entries[4])
    assert list(held.runs().values()) == ["RUNNING"]
    again.write(*entries[5:])
    assert list(held.runs().values()) == ["FINISHED"]
    assert held.params() == {"lr": "0.1", "attempt": "2"}
    assert held.tags()["exptrack.attempt"] == "2"
    assert len(held.steps("i")) == 30


@pytest.mark.parametrize(
    ("close", "status"),
    [({"status": "failed", "exit_code": 3}, "FAILED"), ({"status": "crashed"}, "KILLED")],
)
def test_how_a_run_ended_is_told(feed, held, close, status):
    feed().write(event({"kind": "close", "time_ns": START_NS + 10**9, **close}))
    assert list(held.runs().values()) == [status]
    assert held.ask("SELECT end_time FROM runs") == [(START_MS + 1_000,)]


def test_config_that_changes_later_stands_beside_the_param(feed, held):
    feed().write(
        event(
            {
                "kind": "config",
                "config": '{"lr": 0.1, "new": [1, 2], "long": "' + "x" * 7_000 + '"}',
            }
        ),
        event({"kind": "config", "config": '{"lr": 0.2, "long": "' + "x" * 7_000 + '"}'}),
        event({"kind": "hparams", "hparams": '{"depth": 3}', "metrics": '{"score": 5}'}),
        event({"kind": "summary", "values": '{"best": 7, "why": "early", "ok": true}'}),
        event({"kind": "summary", "time_ns": START_NS + 10**9, "values": '{"best": 6}'}),
        event({"kind": "note", "text": "a note"}),
        event({"kind": "loss", "first": 3, "last": 7, "reason": "spool full"}),
    )
    params = held.params()
    assert (params["lr"], params["new"], params["depth"]) == ("0.1", "[1, 2]", "3")
    assert len(params["long"]) == 6_000
    tags = held.tags()
    assert tags["changed/lr"] == "0.2"
    assert "changed/long" not in tags
    assert (tags["summary/why"], tags["summary/ok"]) == ("early", "true")
    assert tags["mlflow.note.content"] == "some notes\na note"
    assert tags["exptrack.lost_items"] == "5"
    latest = dict(held.ask("SELECT key, value FROM latest_metrics"))
    assert latest == {"summary/best": 6, "summary/score": 5}


def test_media_stand_where_mlflow_shows_them(feed, held, caplog):
    png = np.frombuffer(_png(), np.uint8)
    media = {"name": "a/b: 1", "step": 4}
    caplog.set_level(logging.INFO)
    feed().write(
        event({"kind": "image", "pixels": msgspec.to_builtins(_zeros()), **media}, sequence=1),
        event(
            {"kind": "image", "format": "png", "pixels": msgspec.to_builtins(array(png)), **media},
            sequence=2,
        ),
        event({"kind": "text", "text": "# ü", **media}, sequence=3),
        event({"kind": "table", "columns": ["a"], "rows": "[[1], [null]]", **media}, sequence=4),
        event(
            {"kind": "artifact", "type": "model", "path": "/data/m.pt", "size_bytes": 5, **media},
            sequence=5,
        ),
        event({"kind": "alert", "title": "t"}, sequence=6),
        event({"kind": "alert", "title": "t"}, sequence=7),
    )
    files = held.files()
    pictures = sorted(path for path in files if path.startswith("images/"))
    assert len(pictures) == 4
    assert all(
        path.startswith(f"images/a~b_x3a_ 1+step+4+timestamp+{START_MS}+") for path in pictures
    )
    assert sum(path.endswith("+compressed.webp") for path in pictures) == 2
    assert held.tags()["mlflow.loggedImages"] == "True"
    (table,) = json.loads(held.tags()["mlflow.loggedArtifacts"])
    assert json.loads(files[table["path"]]) == {"columns": ["a"], "data": [[1], [None]]}
    texts = [data for path, data in files.items() if path.startswith("texts/a~b_x3a_ 1/step-4-")]
    assert texts == ["# ü".encode()]
    (reference,) = (json.loads(data) for path, data in files.items() if path.startswith("refer"))
    assert (reference["path"], reference["size_bytes"]) == ("/data/m.pt", 5)
    assert [line for line in caplog.messages if "no place" in line] == [
        "Run run-1: MLflow has no place for alerts; they are in the journal and at the other sinks."
    ]


def test_an_item_that_is_not_what_it_says_is_refused_alone(feed, held):
    one = feed()
    broken = msgspec.to_builtins(replace_data(_zeros()))
    picture = event({"kind": "image", "name": "p", "step": 1, "pixels": broken})
    with pytest.raises(BatchRejected, match="image 'p' at step 1: 3 bytes are no u1"):
        one.write(rows((1, START_NS, {"a": 1})), picture)
    one.write(rows((1, START_NS, {"a": 1})))
    assert held.steps("a") == [1]


def test_a_deleted_run_is_not_written_to_and_the_message_says_what_to_do(feed, held):
    one = feed().write(rows((1, START_NS, {"a": 1})))
    (run_id,) = held.runs()
    client = one.sink._library.client(tracking_uri=one.sink._settings.tracking_uri)
    client.delete_run(run_id)
    more = rows((2, START_NS, {"a": 1}), ordinal=1)
    with pytest.raises(SinkUnavailable, match=f"mlflow runs restore --run-id {run_id}"):
        one.write(more)
    with pytest.raises(SinkUnavailable, match="exptrack replay run-1 --to mlflow"):
        feed().open(one.state).write(more)
    client.restore_run(run_id)
    feed().open(one.state).write(more)
    assert held.steps("a") == [1, 2]
    client.delete_run(run_id)
    feed().write(rows((1, START_NS, {"a": 1})), more)
    assert len(held.runs()) == 2


def test_a_database_that_was_replaced_is_said(feed, held, tmp_path, caplog):
    one = feed().write(rows((1, START_NS, {"a": 1})))
    other = tmp_path / "other"
    prepare(other)
    again = Feed(other).open(one.state)
    again.write(rows((2, START_NS, {"a": 1}), ordinal=1))
    assert "no longer holds all of run run-1" in caplog.text
    assert Reader(other).steps("a") == [2]


def test_names_and_the_experiment_can_be_asked_for(feed, held, tmp_path):
    options = {"names": {"a": "shown/a", "epoch/*": "Epoch/*"}, "experiment": "mine"}

    class Asking(Script):
        @property
        def info(self):
            return replace(super().info, sink_options={"mlflow": options})

    feed(Asking(), experiment_prefix="lab/").write(rows((1, START_NS, {"a": 1, "epoch/x": 2})))
    assert {one.key for one in held.metrics()} == {"shown/a", "Epoch/x"}
    assert held.experiments() == ["lab/mine"]


def test_a_database_that_cannot_be_made_is_unavailable(tmp_path):
    tmp_path.joinpath("mlflow").write_text("in the way")
    with pytest.raises(SinkUnavailable, match=r"MLflow at sqlite:////.*mlflow\.db"):
        Feed(tmp_path).open().write(rows((1, START_NS, {"a": 1})))


def _zeros():
    return array(np.zeros((4, 4, 3), np.uint8))


def replace_data(pixels):
    return msgspec.structs.replace(pixels, data=b"abc")


def _png():
    file = io.BytesIO()
    Image.new("RGBA", (300, 400)).save(file, "png")
    return file.getvalue()
