"""The catalogue by columns."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import consult, open_writing
from exptrack_daemon.store.catalog_list import (
    LISTED,
    config_finder,
    flatten,
    nested_value,
    read_closed,
    read_fields,
    read_lines,
    read_lost,
    read_names,
    read_values,
)
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_proto.records import Summary
from tests.support.homes import HomeBuilder

KEYS = st.sampled_from(["lr", "a", 'q"', "b.c", "lr: ", "{", "", 'x": ', "\u00e9"])
CONFIGS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=6) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def home(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    zero, one, sampler = run.stream(), run.stream(1), run.stream(role="sampler")
    one.log({"loss": 9.0, "other": 2, "set": 3, "nan": float("nan")})
    zero.log({"loss": 1.0, "set": 2})
    sampler.log({"gpu": 5.0, "loss": -1.0})
    zero.put(Summary(time_ns=1, values='{"set": "by hand"}'))
    zero.lose(3)
    zero.lose(2)
    home.finished_run("s", tags=["x"])
    connection, _ = open_writing(home.home)
    with closing(connection):
        for run_id in ("r", "s"):
            save(connection, open_home(home.path).view(run_id).facts, Saved())
    return home


def ask(home, question):
    return consult(home.home, question)


def test_a_last_value_is_the_users_before_rank_0s_before_the_others_before_the_samplers(home):
    def value(name):
        return ask(home, lambda catalog: read_values(catalog, name)).get("r")

    assert [value(name) for name in ("set", "loss", "other", "gpu", "no")] == [
        *("by hand", 1.0, 2, 5.0, None)
    ]
    assert str(value("nan")) == "nan"


def test_a_column_can_be_asked_for_a_few_runs_or_very_many(home):
    def values(only):
        return ask(home, lambda catalog: read_values(catalog, "loss", only))

    assert values(["s"]) == {"s": 1 / 3}
    assert values([]) == {}
    assert values([*map(str, range(2_000)), "s", "r"]) == {"s": 1 / 3, "r": 1.0}


def test_fields_come_together_each_by_run(home):
    found = ask(home, lambda catalog: read_fields(catalog, ["tags", "rows"], ["s"]))
    assert found == {"tags": {"s": ("x",)}, "rows": {"s": 3}}
    found = ask(home, lambda catalog: read_fields(catalog, ["rows"]))
    assert found == {"rows": {"r": 2, "s": 3}}
    assert ask(home, lambda catalog: read_fields(catalog, ["rows"], ["no"])) == {"rows": {}}


def test_runs_that_have_ended_come_newest_first_with_what_their_index_holds(home):
    for run_id in ("t", "u"):
        home.finished_run(run_id)
    asked = []
    with closing(open_writing(home.home)[0]) as connection:
        for run_id in ("u", "t"):
            save(connection, open_home(home.path).view(run_id).facts, Saved())
        connection.set_trace_callback(asked.append)
        found = read_closed(connection, sorted(LISTED))
        connection.set_trace_callback(None)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    created = list(found["created"].values())
    assert created == sorted(created, reverse=True)
    assert set(found["created"]) == {"s", "t", "u"}
    assert found["tags"]["s"] == ("x",)
    assert [text for *_, text in plan] == ["SCAN runs USING COVERING INDEX runs_listed"]


def test_lines_say_up_to_where_they_stand(home):
    lines = {line.id: line.position for line in ask(home, read_lines)}
    views = {view.id: view for view in open_home(home.path).runs()}
    assert lines == {run: view.facts.position for run, view in views.items()}


def test_losses_are_added_up(home):
    assert ask(home, read_lost) == {"r": 5}


def test_names_are_counted_by_run_and_some_runs_can_be_left_out(home):
    names = ask(home, lambda catalog: read_names(catalog, but=[]))
    assert (names["loss"], names["gpu"], names["lr"]) == (2, 1, 1)
    assert ask(home, lambda catalog: read_names(catalog, but=["r"])) == {"loss": 1, "lr": 1}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, CONFIGS, max_size=5), KEYS)
def test_a_key_found_in_the_text_is_the_one_of_the_config(config, key):
    found, expected = config_finder(key)(json.dumps(config)), nested_value(config, key)
    assert json.dumps(found) == json.dumps(expected)


def test_dots_lead_into_mappings_and_a_key_with_dots_goes_before():
    config = {"a": {"b": {"c": 1}, "b.c": 2}, "a.b": 3}
    assert nested_value(config, "a.b.c") == 2
    assert nested_value(config, "a.b") == 3
    assert nested_value(config, "a.x") is None
    assert nested_value({"a": 1}, "a.b") is None
    assert config_finder("a.b")(json.dumps(config)) == 3


def test_a_config_is_flattened_only_so_deep():
    deep = {"k": 1}
    for _ in range(20):
        deep = {"k": deep}
    ((name, rest),) = flatten(deep).items()
    assert name.count(".") == 8
    assert isinstance(rest, dict)
    assert flatten({"a": {}, "b": {"c": 1}}) == {"a": {}, "b.c": 1}
