"""On the screen: a real TensorBoard, asked over HTTP, with the default loader and with the Python one."""

import json
import struct
import zlib

import pytest

from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_proto.records import Alert, Array, Graph, Histogram, Hparams, Image, Table, TextItem
from tests.support.tensorboard_journal import (
    Journal,
    at,
    context,
    deliver,
    project,
    run_info,
    stream,
)
from tests.support.tensorboard_server import eventually, tensorboard

RUN = "mnist/first~20try"
ALL_STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]

both_loaders = pytest.mark.parametrize("fast", [True, False], ids=["default", "python"])


def line(steps, tag="loss", value=1.0):
    return [(step, {tag: value}) for step in steps]


def steps_shown(server, run=RUN, tag="loss"):
    return [step for step, _ in server.scalars(run, tag)]


@both_loaders
def test_every_point_is_on_the_screen_whatever_the_order_of_its_step(fast, tmp_path):
    journal = Journal().open()
    journal.rows([(n, {"loss": n / 2, "acc": -n}) for n in range(0, 100, 2)])
    journal.rows([(n, {"loss": n / 2}) for n in range(1, 98, 2)])  # all late
    journal.rows([(7, {"loss": 1.0})] * 3)  # late again and again
    journal.rows([(100, {"loss": 50.0, "acc": float("nan")})])
    journal.rows(line(range(5), value=2.0), stream(rank=1))
    journal.rows(line(range(5), "system/cpu"), stream(role="sampler"))
    project(tmp_path, journal)
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        eventually(lambda: steps_shown(server), lambda shown: len(shown) == 51)
        assert server.scalars(RUN, "loss") == [(n, n / 2) for n in range(0, 101, 2)]
        assert len(server.scalars(RUN, "acc")) == 51
        assert server.scalars(f"{RUN}/late", "loss") == [(n, n / 2) for n in range(1, 98, 2)]
        assert [steps_shown(server, f"{RUN}/late_{n}") for n in (2, 3, 4)] == [[7], [7], [7]]
        assert server.scalars(f"{RUN}/rank_1", "loss") == [(n, 2.0) for n in range(5)]
        assert steps_shown(server, f"{RUN}/system", "system/cpu") == list(range(5))
        assert sorted(server.scalar_tags()) == [
            RUN, f"{RUN}/late", f"{RUN}/late_2", f"{RUN}/late_3", f"{RUN}/late_4",
            f"{RUN}/rank_1", f"{RUN}/system",
        ]  # fmt: skip


@both_loaders
def test_a_resumed_attempt_replaces_what_it_goes_back_over_and_nothing_else(fast, tmp_path):
    """Also for tags with a counter of their own, a first row of a low step, and tags not logged again."""
    again = stream(attempt=2)
    journal = Journal().open().rows(line(range(100), value=1.0)).rows(line(range(10), "eval"))
    journal.rows(line(range(100), "only/before")).item(text("note", 95)).item(picture("image", 95))
    journal.open(again).rows(line(range(9, 12), "eval", 2.0), again)
    journal.rows(line(range(80, 120), value=2.0), again)
    journal.rows(line([99], value=1.0))  # recovered late from the first attempt
    project(tmp_path, journal)
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        eventually(lambda: steps_shown(server), lambda shown: len(shown) == 120)
        first = [(n, 1.0) for n in range(80)]
        assert server.scalars(RUN, "loss") == first + [(n, 2.0) for n in range(80, 120)]
        assert server.scalars(RUN, "eval") == [*first[:9], (9, 2.0), (10, 2.0), (11, 2.0)]
        assert steps_shown(server, tag="only/before") == list(range(100))
        assert steps_shown(server, f"{RUN}/late") == [99]
        assert server.get("data/plugin/text/text", run=RUN, tag="note")[0]["step"] == 95
        assert server.get("data/plugin/images/tags")[RUN]["image"]["samples"] == 1


@both_loaders
def test_an_open_server_does_not_notice_a_cut_and_a_replay(fast, tmp_path):
    journal = Journal(run_info(config={"lr": 0.1})).open()
    for start in range(0, 300, 50):
        journal.rows([(n, {"loss": n, "acc": -n}) for n in range(start, start + 50)])
        journal.rows(line([start]))
    sink = open_sink(journal.run, context(tmp_path), None)
    saved = deliver(sink, journal.run, journal.entries[:3]).state
    deliver(sink, journal.run, journal.entries[3:7])
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        before = eventually(lambda: steps_shown(server), lambda shown: len(shown) == 150)
        assert before == list(range(150))
        again = open_sink(journal.run, context(tmp_path), saved)
        for entry in journal.entries[3:]:
            deliver(again, journal.run, [entry])
        after = eventually(lambda: server.scalars(RUN, "loss"), lambda shown: len(shown) >= 300)
        assert after == [(n, n) for n in range(300)]
        late = eventually(lambda: steps_shown(server, f"{RUN}/late"), lambda shown: len(shown) >= 6)
        assert late == list(range(0, 300, 50))


@both_loaders
def test_hparams_show_config_metrics_and_how_the_run_ended(fast, tmp_path):
    good = Journal(run_info(run_id="a", name="good", config={"lr": 0.1, "opt": {"name": "adam"}}))
    good.open().rows([(1, {"loss": 0.5})]).close().open(stream(attempt=2)).close()
    bad = Journal(run_info(run_id="b", name="bad")).open()
    bad.item(Hparams(time_ns=at(1), hparams='{"lr": 0.2}', metrics='{"loss": 9}')).close("failed")
    project(tmp_path, good)
    project(tmp_path, bad)
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        groups = eventually(lambda: session_groups(server), lambda found: len(found) == 2)
        shown = {group["name"]: summary(group) for group in groups}
        assert shown == {
            "mnist/good": ({"lr": 0.1, "opt/name": "adam"}, {"loss": 0.5}, "STATUS_SUCCESS"),
            "mnist/bad": ({"lr": 0.2}, {"loss": 9.0}, "STATUS_FAILURE"),
        }
        experiment = server.post("data/plugin/hparams/experiment", {"experimentName": ""})
        assert sorted(info["name"] for info in experiment["hparamInfos"]) == ["lr", "opt/name"]


def session_groups(server):
    body = {
        "experimentName": "",
        "allowedStatuses": ALL_STATUSES,
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 10,
    }
    return server.post("data/plugin/hparams/session_groups", body).get("sessionGroups", [])


def summary(group):
    metrics = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
    return group["hparams"], metrics, group["sessions"][0]["status"]


@both_loaders
def test_media_are_on_their_pages(fast, tmp_path):
    journal = Journal().open()
    for step in (1, 2):
        journal.item(picture("sample", step)).item(text("note", step))
    journal.item(histogram([1.0, 2.0, float("nan")])).item(histogram([], step=2))
    table = Table(name="table", step=1, time_ns=at(1), columns=["a|b"], rows='[["<i>x</i>"]]')
    journal.item(table).item(Alert(title="NaN", time_ns=at(2), level="error")).item(graph())
    project(tmp_path, journal)
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        eventually(lambda: server.get("data/plugin/images/tags"), bool)
        check_images(server)
        check_texts(server)
        check_histograms(server)
        assert server.get("data/plugin/graphs/info")[RUN]["run_graph"] is True
        assert b"conv1" in server.get_bytes("data/plugin/graphs/graph", run=RUN)


def check_images(server):
    images = server.get("data/plugin/images/images", run=RUN, tag="sample", sample=0)
    assert [image["step"] for image in images] == [1, 2]
    png = server.get_bytes(f"data/plugin/images/individualImage?{images[0]['query']}")
    assert struct.unpack(">II", png[16:24]) == (3, 2)
    assert zlib.crc32(png[12:29]) == struct.unpack(">I", png[29:33])[0]


def check_texts(server):
    tags = server.get("data/plugin/text/tags")[RUN]
    assert sorted(tags) == ["alerts", "note", "sample/caption", "table"]
    notes = server.get("data/plugin/text/text", run=RUN, tag="note")
    assert [note["text"] for note in notes] == ["<p>step <em>1</em></p>", "<p>step <em>2</em></p>"]
    [shown] = server.get("data/plugin/text/text", run=RUN, tag="table")
    assert "<th>a&#124;b</th>" in shown["text"]
    assert "<td>&#60;i&#62;x&#60;/i&#62;</td>" in shown["text"]
    [alert] = server.get("data/plugin/text/text", run=RUN, tag="alerts")
    assert alert["text"] == "<p><strong>ERROR: NaN</strong></p>"


def check_histograms(server):
    shown = server.get("data/plugin/histograms/histograms", run=RUN, tag="weights")
    assert [step for _, step, _ in shown] == [1, 2]
    assert sum(count for _, _, count in shown[0][2]) == 2
    assert server.scalars(RUN, "weights/nonfinite") == [(1, 1.0)]


def picture(name, step):
    pixels = Array(dtype="u1", shape=[2, 3, 3], data=bytes(range(18)))
    return Image(name=name, step=step, time_ns=at(step), pixels=pixels, caption="a dog")


def text(name, step):
    return TextItem(name=name, step=step, time_ns=at(step), text=f"step *{step}*")


def histogram(values, step=1):
    data = struct.pack(f"<{len(values)}f", *values)
    array = Array(dtype="f4", shape=[len(values)], data=data)
    return Histogram(name="weights", step=step, time_ns=at(step), values=array)


def graph():
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

    data = GraphDef(node=[NodeDef(name="conv1", op="Conv2D")]).SerializeToString()
    return Graph(time_ns=at(1), graph=Array(dtype="u1", shape=[len(data)], data=data))


@both_loaders
def test_names_of_any_kind_and_extreme_steps_are_shown(fast, tmp_path):
    names = ["", "a/b/c", "ü", "with space", "x" * 1_000, 'quote"<b>']
    steps = [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1]
    project(tmp_path, Journal().open().rows([(step, dict.fromkeys(names, 1.0)) for step in steps]))
    with tensorboard(tmp_path / "tensorboard", fast=fast) as server:
        eventually(lambda: steps_shown(server, tag="ü"), lambda shown: len(shown) == len(steps))
        assert {name: steps_shown(server, tag=name) for name in names} == dict.fromkeys(
            names, steps
        )


def test_the_state_given_back_as_json_text_is_enough(tmp_path):
    """What the delivery loop does with it: one JSON file."""
    journal = Journal().open().rows(line(range(10)))
    sink = open_sink(journal.run, context(tmp_path), None)
    saved = json.loads(json.dumps(deliver(sink, journal.run, journal.entries).state))
    open_sink(journal.run, context(tmp_path), saved).close()
