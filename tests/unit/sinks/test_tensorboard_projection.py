"""The projection: who writes where, when the session starts and ends, and what each item becomes."""

import json

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import plugin_data_pb2

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.projection import Projection
from exptrack_daemon.sinks.tensorboard.records import unframe
from exptrack_proto.records import (
    Alert,
    Array,
    ConfigUpdate,
    Graph,
    Histogram,
    Hparams,
    Image,
    Loss,
    Summary,
    Table,
    TextItem,
)
from tests.support.tensorboard_journal import Journal, at, run_info, stream


def project(journal):
    return Projection(journal.run).take(journal.entries)


def events(records):
    return [Event.FromString(data) for _, data in unframe(records)]


def tags(records):
    return [value.tag for event in events(records) for value in event.summary.value]


def sessions(records):
    """hparams of each session start in the file, and the status of each end."""
    contents = [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events(records)
        for value in event.summary.value
        if value.tag.startswith("_hparams_/")
    ]
    starts = [
        sorted(c.session_start_info.hparams) for c in contents if c.HasField("session_start_info")
    ]
    ends = [c.session_end_info.status for c in contents if c.HasField("session_end_info")]
    return starts, ends


def config(**values):
    return ConfigUpdate(time_ns=at(1), config=json.dumps(values))


def test_ranks_and_the_sampler_have_folders_of_their_own():
    journal = Journal()
    for writer in (
        stream(),
        stream(rank=3),
        stream(role="sampler"),
        stream(rank=1, role="sampler"),
    ):
        journal.rows([(1, {"a": 1.0}), (1, {"a": 2.0})], writer)
    assert sorted(project(journal)) == [
        "", "late", "rank_3", "rank_3/late",
        "system", "system/late", "system/rank_1", "system/rank_1/late",
    ]  # fmt: skip


def test_a_config_given_at_the_start_starts_the_session_once():
    journal = Journal(run_info(config={"lr": 0.1})).open().item(config(late=1))
    journal.open(stream(rank=1)).open(stream(attempt=2)).close()
    assert sessions(project(journal)[""]) == ([["lr"]], [1])


def test_config_set_before_the_first_row_starts_the_session_with_it():
    journal = Journal().open().item(config(lr=0.1)).item(config(opt={"name": "sgd"}))
    pages = project(journal.rows([(1, {"a": 1.0})]).item(config(more=1)))
    assert sessions(pages[""])[0] == [["lr", "opt/name"]]


def test_hparams_of_their_own_start_the_session_with_the_config_so_far():
    journal = Journal().open().item(config(lr=0.1))
    journal.item(Hparams(time_ns=at(1), hparams='{"depth": 3}'))
    assert sessions(project(journal)[""])[0] == [["depth", "lr"]]


def test_hparams_after_the_session_started_are_shown_as_a_text():
    journal = Journal(run_info(config={"lr": 0.1})).open()
    journal.item(Hparams(time_ns=at(1), hparams='{"depth": 3}'))
    page = project(journal)[""]
    assert sessions(page)[0] == [["lr"]]
    assert "hparams" in tags(page)


def test_metrics_of_hparams_are_scalars_at_the_latest_step():
    journal = Journal().rows([(7, {"loss": 1.0})])
    journal.item(
        Hparams(time_ns=at(7), hparams="{}", metrics='{"acc": 0.5, "note": "x", "big": 1e400}')
    )
    found = events(project(journal)[""])[-1]
    assert found.step == 7
    assert [value.tag for value in found.summary.value] == ["acc", "note", "big"]


@pytest.mark.parametrize(("status", "ends"), [("finished", [1]), ("failed", [2]), ("crashed", [])])
def test_the_session_ends_as_the_run_did(status, ends):
    journal = Journal(run_info(config={"lr": 0.1})).open().close(status)
    assert sessions(project(journal)[""])[1] == ends


def test_a_run_without_hparams_has_no_session():
    page = project(Journal().open().rows([(1, {"a": 1.0})]).close())[""]
    assert sessions(page) == ([], [])


def test_another_rank_and_the_sampler_end_no_session():
    journal = Journal(run_info(config={"lr": 0.1})).open()
    journal.close(writer=stream(rank=1)).close(writer=stream(role="sampler"))
    assert sessions(project(journal)[""])[1] == []


def test_media_become_values_of_their_kind():
    pixels = Array(dtype="u1", shape=[1, 1], data=b"\0")
    values = Array(dtype="f4", shape=[2], data=b"\0\0\0\0\0\0\xc0\x7f")
    common = {"step": 4, "time_ns": at(4)}
    journal = Journal()
    journal.item(Image(name="img", pixels=pixels, caption="a dog", **common))
    journal.item(Image(name="fig", pixels=pixels, figure=True, **common))
    journal.item(Histogram(name="w", values=values, **common))
    journal.item(TextItem(name="note", text="*hi*", **common))
    journal.item(Table(name="t", columns=["a"], rows="[[1]]", **common))
    journal.item(Alert(title="x", time_ns=at(4)))
    page = project(journal)[""]
    assert {event.step for event in events(page)[1:]} == {4}
    assert tags(page) == ["img", "img/caption", "fig", "w", "w/nonfinite", "note", "t", "alerts"]


def test_a_graph_stands_outside_of_steps():
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

    graph = GraphDef(node=[NodeDef(name="n", op="Add")]).SerializeToString()
    array = Array(dtype="u1", shape=[len(graph)], data=graph)
    page = project(Journal().item(Graph(time_ns=at(1), graph=array)))[""]
    assert events(page)[1].graph_def == graph


def test_what_has_no_place_on_the_pages_leaves_no_trace():
    journal = Journal().item(Summary(time_ns=1, values="{}"))
    journal.item(Loss(time_ns=1, first=1, last=2, reason="disk full"))
    assert project(journal) == {}


@pytest.mark.parametrize(
    "item",
    [
        Image(name="i", step=1, time_ns=1, pixels=Array(dtype="u1", shape=[9, 9])),
        Histogram(name="h", step=1, time_ns=1),
        Table(name="t", step=1, time_ns=1, columns=[], rows="{"),
        Hparams(time_ns=1, hparams="[]"),
        Hparams(time_ns=1, hparams="{}", metrics="nope"),
        ConfigUpdate(time_ns=1, config="3"),
        Graph(time_ns=1, graph=Array(dtype="u1", shape=[3], data=b"\xff\xff\xff")),
    ],
)
def test_what_cannot_be_shown_is_rejected(item):
    with pytest.raises(BatchRejected):
        project(Journal().item(item))
