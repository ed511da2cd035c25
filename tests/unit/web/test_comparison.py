"""Runs beside each other."""

from __future__ import annotations

import pytest

from exptrack_daemon.plots.names import told_goal
from exptrack_daemon.store.reader import open_home
from exptrack_daemon.web.charts import Charts
from exptrack_daemon.web.comparison import compare, config_rows, shared_names
from exptrack_daemon.web.index import RunIndex
from tests.support.homes import HomeBuilder, TurnedClock


def test_keys_that_differ_come_first_and_nested_ones_are_joined():
    rows = config_rows([{"a": 1, "o": {"lr": 0.1}}, {"a": 1, "o": {"lr": 0.2}, "x": None}])
    assert [(row["name"], row["differs"], row["values"], row["missing"]) for row in rows] == [
        ("o.lr", True, [0.1, 0.2], [False, False]),
        ("x", True, [None, None], [True, False]),
        ("a", False, [1, 1], [False, False]),
    ]
    assert not config_rows([{"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}])[0]["differs"]
    assert config_rows([{"a": 1}, {"a": "1"}])[0]["differs"]
    assert config_rows([{"a": float("nan")}, {"a": float("nan")}])[0]["differs"] is False


def test_what_most_runs_logged_comes_first_and_texts_are_no_metrics():
    assert shared_names([{"b": 1, "t": "x"}, {"a": 1.0, "b": 2}, {"z": None}]) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("lr", None),
        ("gradients/norm", None),
        ("train/loss", "min"),
        ("val/accuracy", "max"),
        ("Accuracy_loss", "min"),
        ("f1", "max"),
        ("perplexity", "min"),
        ("eval/mAP", "max"),
    ],
)
def test_a_metrics_name_tells_what_is_best(name, goal):
    assert told_goal(name) == goal


def test_final_and_best_values_of_each_run(home):
    homes = HomeBuilder(home)
    for name, values in (("a", [3.0, 1.0, 2.0]), ("b", [5.0, float("nan"), 4.0]), ("c", [])):
        run = homes.run(name)
        stream = run.stream(config={"n": name})
        for step, value in enumerate(values):
            stream.log({"loss": value}, step)
        run.close()
    reader = open_home(home)
    runs = RunIndex(reader.home, TurnedClock()).get(reader, ["a", "b", "c"])
    found = compare(Charts(), reader, runs)
    assert [run["id"] for run in found["runs"]] == ["a", "b", "c"]
    (metric,) = found["metrics"]
    assert metric["final"] == [2.0, 4.0, None]
    assert metric["min"] == metric["best"] == [1.0, 4.0, None]
    assert metric["max"] == [3.0, 5.0, None]
    assert found["metrics_total"] == 1
    assert compare(Charts(), reader, runs[2:])["metrics"] == []


def test_a_metric_whose_name_says_nothing_has_no_best_value(home):
    run = HomeBuilder(home).run("b")
    run.stream().log({"lr": 0.5}, 0)
    run.close()
    reader = open_home(home)
    runs = RunIndex(reader.home, TurnedClock()).get(reader, ["b"])
    (metric,) = compare(Charts(), reader, runs)["metrics"]
    assert (metric["goal"], metric["best"], metric["max"]) == (None, None, [0.5])
