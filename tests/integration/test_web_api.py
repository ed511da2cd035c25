"""The HTTP API over a real home, by a real server: answers equal what the store says."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image as Pillow

from exptrack_daemon.store.reader import open_home
from exptrack_proto.records import Alert, Array, Artifact, Image, Note, Table, TextItem
from tests.support.homes import START_NS, HomeBuilder
from tests.support.studio import StudioServer, decode_frame

HOSTILE = '<script>alert(1)</script>"\\\u2028\x00\x1b[31m\u202e'


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    builder = HomeBuilder(tmp_path_factory.mktemp("api") / "home")
    builder.path.mkdir(mode=0o700)
    run = builder.run("odd")
    stream = run.stream(
        name=HOSTILE,
        notes=HOSTILE,
        tags=[HOSTILE],
        group=HOSTILE,
        config={HOSTILE: HOSTILE, "nan": float("nan"), "deep": {"lr": 0.5}},
    )
    for step in range(100):
        stream.log(
            {HOSTILE: float(step), "loss": float("nan") if step == 50 else 1 / (step + 1)}, step
        )
    stream.put(Alert(time_ns=START_NS, title=HOSTILE, text=HOSTILE))
    stream.put(Note(time_ns=START_NS, text=HOSTILE))
    at = {"name": HOSTILE, "step": 1, "time_ns": START_NS}
    artifact = {"type": "model", "path": "/x", "size_bytes": 5}
    stream.put(Artifact(**at, **artifact))
    stream.lose(3)
    pixels = Array("u1", [2, 3], 0, bytes(range(6)))
    stream.put(Image(**at, pixels=pixels, caption=HOSTILE))
    stream.put(Image(**at, pixels=Array("u1", [5], 0, b"<svg>"), format="png"))
    stream.put(TextItem(**at, text=HOSTILE))
    stream.put(Table(**at, columns=[HOSTILE], rows=json.dumps([[HOSTILE]])))
    stream.put(Image(**at, pixels=pixels, figure=True))
    run.stream(role="sampler").log({"system/cpu_percent": 7.0}, 1)
    run.close()
    run = builder.run("nan")
    stream = run.stream()
    for step in range(10):
        stream.log({"loss": float("nan")}, step)
    run.close()
    for i in range(120):
        builder.finished_run(f"r{i:03}", rows=2, config={"lr": i / 100})
    return builder


@pytest.fixture(scope="module")
def server(homes):
    with StudioServer(homes.path) as running:
        yield running


def test_the_list_in_pages_sorted_filtered_and_with_columns(server):
    first = server.api("runs?columns=config.lr,summary.loss&sort=-config.lr")
    assert first["total"] == 122
    assert len(first["runs"]) == 100
    assert first["runs"][0]["id"] == "r119"
    assert first["runs"][0]["values"] == {"config.lr": 1.19, "summary.loss": 0.5}
    rest = server.api("runs?sort=-config.lr&limit=50&offset=100")
    assert [run["id"] for run in rest["runs"]][-1] == "odd"
    assert len(rest["runs"]) == 22
    found = server.api("runs?filter=config.lr%3E1.1%20and%20status%3Dfinished&q=r11")
    assert found["total"] == 9
    by_age = server.api("runs?sort=created_ms&limit=1")
    assert by_age["runs"][0]["id"] == "odd"


def test_a_name_that_no_run_has_is_noted_and_a_broken_filter_is_explained(server):
    assert "lros" in server.api("runs?filter=lros%3C1")["notes"][0]
    answer = server.get("/api/v1/runs?q=r1&filter=lr%3C")
    assert answer.status == 400
    assert "lr<\n" in answer.json()["error"]
    assert "\n  lr<\n" in server.get("/api/v1/runs?filter=lr%3C").json()["error"]


@pytest.mark.parametrize(
    "query",
    ["limit=101", "limit=-1", "limit=x", "offset=-1", "columns=" + "a," * 51, "q=" + "x" * 5000],
)
def test_what_the_list_does_not_take_is_said(server, query):
    answer = server.get(f"/api/v1/runs?{query}")
    assert answer.status == 400
    assert len(answer.json()["error"]) > 10


def test_hostile_names_are_only_ever_json(server):
    answer = server.get("/api/v1/runs/odd")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.isascii()
    run = answer.json()
    assert run["name"] == run["notes"] == run["tags"][0] == run["group"] == HOSTILE
    assert run["config"] == {HOSTILE: HOSTILE, "nan": "NaN", "deep": {"lr": 0.5}}
    assert run["summary"][HOSTILE] == 99.0
    assert run["alerts"][0]["title"] == run["user_notes"][0]["text"] == HOSTILE
    assert run["artifacts"][0]["name"] == HOSTILE


def test_a_run_is_told_whole(server):
    run = server.api("runs/odd")
    assert run["system"] == {"system/cpu_percent": 7.0}
    assert run["lost_items"] == run["ledger"][0]["items"] == 3
    assert {stream["role"] for stream in run["streams"]} == {"trainer", "sampler"}
    assert run["streams"][0]["opened_ms"] == run["created_ms"]
    assert run["last_step"] == 99
    for link in run["links"].values():
        assert server.get(link).status == 200, link


def test_names_and_counts_of_metrics(server):
    found = server.api("metrics?runs=odd,r001")["metrics"]
    by_name = {(metric["name"], metric["is_system"]): metric for metric in found}
    assert by_name["loss", False] == {
        "name": "loss",
        "points": 102,
        "runs": 2,
        "is_system": False,
        "first_step": 0,
        "last_step": 99,
        "ranks": [0],
    }
    assert by_name["system/cpu_percent", True]["points"] == 1
    assert [m["name"] for m in server.api("metrics?runs=r001&q=LR")["metrics"]] == ["lr"]
    assert [m["name"] for m in server.api("system?run=odd")["metrics"]] == ["system/cpu_percent"]


def test_a_frame_equals_the_stores_cells_and_json_says_the_same(server, homes):
    question = {"runs": ["odd", "r001"], "names": ["loss", HOSTILE], "cells": 30}
    header, values = server.charts(**question, stats=["min", "max", "mean", "nan", "count"])
    assert header["names"] == ["loss", HOSTILE]
    reader = open_home(homes.path)
    lo, width = header["x0"], header["width"]
    for r, run in enumerate(["odd", "r001"]):
        hi = lo + header["cells"] * width - 1
        found = reader.cells(run, header["names"], width=width, lo=lo, hi=hi)
        for n, name in enumerate(header["names"]):
            for s, stat in enumerate(header["stats"]):
                wanted = np.asarray(getattr(found[name], stat), np.float32)
                np.testing.assert_array_equal(values[n, r, s], wanted)
    assert values[0, 0, 3].sum() == 1
    said = server.post("charts", question, Accept="application/json").json()
    assert said["extent"] == [0, 99]
    np.testing.assert_array_equal(
        np.array(said["values"], dtype=float).astype(np.float32)[:, :, 0], values[:, :, 2]
    )


def test_a_chart_of_nothing_but_nan(server):
    header, values = server.charts(runs=["nan"], names=["loss"], stats=["mean", "nan", "count"])
    assert np.isnan(values[0, 0, 0]).all()
    assert values[0, 0, 1].tolist() == [1.0] * 10 == values[0, 0, 2].tolist()
    assert header["extent"] == [0, 9]


WRONG = {
    "no runs": {"names": ["loss"]},
    "no names": {"runs": ["odd"]},
    "empty names": {"runs": ["odd"], "names": []},
    "unknown key": {"runs": ["odd"], "names": ["loss"], "nmaes": []},
    "x": {"runs": ["odd"], "names": ["loss"], "x": "epoch"},
    "stats": {"runs": ["odd"], "names": ["loss"], "stats": ["median"]},
    "cells": {"runs": ["odd"], "names": ["loss"], "cells": 1},
    "many cells": {"runs": ["odd"], "names": ["loss"], "cells": 10**9},
    "lo": {"runs": ["odd"], "names": ["loss"], "lo": "x"},
    "lo above hi": {"runs": ["odd"], "names": ["loss"], "lo": 5, "hi": 4},
    "huge lo": {"runs": ["odd"], "names": ["loss"], "lo": -1e300},
    "rank": {"runs": ["odd"], "names": ["loss"], "rank": -1},
    "runs as text": {"runs": "odd", "names": ["loss"]},
    "too many names": {"runs": ["odd"], "names": [f"n{i}" for i in range(101)]},
    "too many runs": {"runs": [f"n{i}" for i in range(101)], "names": ["loss"]},
    "too much": {"runs": [f"r{i:03}" for i in range(100)], "names": [f"n{i}" for i in range(26)]},
}


@pytest.mark.parametrize("why", WRONG)
def test_what_a_chart_does_not_take_is_said_clearly(server, why):
    answer = server.post("charts", WRONG[why])
    assert answer.status == 400
    assert 10 < len(answer.json()["error"]) < 200


def test_a_run_that_there_is_not_is_named(server):
    for answer in (
        server.post("charts", {"runs": ["odd", "none"], "names": ["loss"]}),
        server.get("/api/v1/runs/none"),
        server.get("/api/v1/metrics?runs=none"),
    ):
        assert answer.status == 404
        assert "no run none" in answer.json()["error"]


def test_the_largest_question_is_answered(server):
    runs = [f"r{i:03}" for i in range(100)]
    header, values = server.charts(
        runs=runs, names=["loss"], x="relative", cells=2000, stats=["mean"]
    )
    assert values.shape[:3] == (1, 100, 1)
    assert values.shape[3] == header["cells"] <= 2000


def test_rows_as_logged(server):
    found = server.api("points?run=odd&name=loss&lo=48.5&hi=51")
    assert [point["step"] for point in found["points"]] == [48, 49, 50, 51]
    assert found["points"][2]["value"] == "NaN"
    assert found["points"][3] == {
        "step": 51,
        "time_ms": (START_NS + 51 * 10**9) / 1e6,
        "value": 1 / 52,
    }
    assert server.api("points?run=odd&name=none") == {"points": [], "total": 0, "truncated": False}


def test_media_as_png_and_json_never_as_what_it_says(server):
    listed = server.api("media?run=odd")["media"]
    assert [one["kind"] for one in listed] == ["image", "image", "text", "table", "figure"]
    assert listed[0]["caption"] == HOSTILE
    assert (listed[0]["width"], listed[0]["height"]) == (3, 2)
    picture = server.get("/api/v1/media/odd/0")
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert np.array(Pillow.open(io.BytesIO(picture.body))).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert server.get("/api/v1/media/odd/1").status == 422
    assert server.api("media/odd/2") == {"text": HOSTILE}
    assert server.api("media/odd/3") == {"columns": [HOSTILE], "rows": [[HOSTILE]]}
    assert server.get("/api/v1/media/odd/99").status == 404
    assert [one["number"] for one in server.api("media?run=odd&kind=figure")["media"]] == [4]
    types = {server.get(f"/api/v1/media/odd/{n}").headers["content-type"] for n in range(6)}
    assert types == {"image/png", "application/json"}


def test_comparison_and_columns(server):
    found = server.api("compare?runs=r001,r002")
    assert found["config"][0] == {
        "name": "lr",
        "values": [0.01, 0.02],
        "missing": [False, False],
        "differs": True,
    }
    assert found["metrics"][0]["best"] == [0.5, 0.5]
    names = {column["name"]: column["runs"] for column in server.api("columns")["config"]}
    assert names["lr"] == 120
    assert names["deep.lr"] == 1


def test_an_edit_is_kept_and_seen_at_once(server, homes):
    cursor = server.api("changes")["cursor"]
    edit = {"name": "new name", "add_tags": ["x"], "notes": "n", "archived": True}
    run = server.post("runs/r005", edit, "PATCH").json()
    assert (run["name"], run["tags"], run["notes"]) == ("new name", ["x"], "n")
    assert run["archived"] is True
    assert [one["id"] for one in server.api(f"changes?cursor={cursor}")["runs"]] == ["r005"]
    assert server.api("runs?q=new%20name")["total"] == 1
    assert open_home(homes.path).view("r005").run.name == "new name"
    back = server.post("runs/r005", {"name": "", "remove_tags": ["x"]}, "PATCH").json()
    assert (back["name"], back["tags"]) == ("r005", [])


@pytest.mark.parametrize(
    "edit",
    [{"name": 1}, {"add_tags": "x"}, {"name": "x" * 1000}, {"tags": []}, {"add_tags": [" "]}],
)
def test_an_edit_that_is_none_is_said(server, edit):
    answer = server.post("runs/r006", edit, "PATCH")
    assert answer.status == 400, answer.body
    assert len(answer.json()["error"]) > 5


def test_nothing_new_is_204(server):
    cursor = server.api("changes")["cursor"]
    answer = server.get(f"/api/v1/changes?cursor={cursor}")
    assert (answer.status, answer.body) == (204, b"")


def test_health_and_metrics_of_a_home_without_a_daemon(server):
    health = server.api("health")
    assert health["daemon"]["running"] is False
    assert health["lost_items"] == 3
    page = server.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'exptrack_lost_items{reason="ring full"} 3\n' in page.body


def test_a_picture_is_drawn_and_kept(server):
    first = server.get("/api/v1/picture.png?run=odd&theme=dark")
    assert first.headers["content-type"] == "image/png"
    assert server.get("/api/v1/picture.png?run=odd&theme=dark").body == first.body
    assert server.get("/api/v1/picture.png?run=odd&theme=pink").status == 400
    answer = server.get("/api/v1/picture.png?run=odd&kind=none")
    assert answer.status == 400
    assert "none" in answer.json()["error"]
    for asked in ("kind=gradients", "kind=curves&metrics=nobody", "kind=training&metrics=loss"):
        answer = server.get(f"/api/v1/picture.png?run=odd&{asked}")
        assert 400 <= answer.status < 500, asked
        assert len(answer.json()["error"]) > 10, asked


def test_two_studios_of_one_home_side_by_side(server, homes):
    with StudioServer(homes.path) as other:
        assert other.port != server.port
        assert other.api("runs")["total"] == server.api("runs")["total"]
        cursor = server.api("changes")["cursor"]
        assert other.api(f"changes?cursor={cursor}")["is_all"] is True
        server.post("runs/r007", {"add_tags": ["both"]}, "PATCH")
        assert other.api("runs/r007")["tags"] == ["both"]
        answer = other.post("charts", {"runs": ["r007"], "names": ["loss"]})
        assert decode_frame(answer.body)[0]["runs"][0]["id"] == "r007"
