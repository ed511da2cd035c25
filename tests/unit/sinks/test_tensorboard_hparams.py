"""Hyperparameters: any config becomes a flat, bounded one that the page can show."""

from tensorboard.plugins.hparams import plugin_data_pb2

from exptrack_daemon.sinks.tensorboard.hparams import flatten, session_end, session_start


def content(value):
    assert value.metadata.plugin_data.plugin_name == "hparams"
    return plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)


def test_nested_config_is_joined_by_slashes():
    assert flatten({"lr": 0.1, "opt": {"name": "adam", "empty": {}}}) == {
        "lr": 0.1,
        "opt/name": "adam",
        "opt/empty": "{}",
    }


def test_what_json_cannot_carry_is_shown_as_text():
    values = {
        "nan": float("nan"),
        "inf": float("-inf"),
        "none": None,
        "list": [1, "ü"],
        "big": 10**400,
    }
    flat = flatten(values)
    assert list(flat.values())[:4] == ["NaN", "-Infinity", "null", '[1, "ü"]']
    assert str(flat["big"]).startswith("1000")


def test_a_config_without_end_is_cut():
    assert len(flatten({f"k{n}": n for n in range(5_000)})) == 1_000
    assert len(str(flatten({"a": "x" * 10_000})["a"])) == 500
    deep = {}
    for _ in range(900):
        deep = {"d": deep}
    assert len(flatten(deep)) == 1


def test_a_session_start_holds_types_and_time():
    start = content(session_start({"lr": 0.1, "on": True, "opt": "adam"}, 1_500_000_000))
    info = start.session_start_info
    assert info.start_time_secs == 1.5
    assert info.hparams["lr"].number_value == 0.1
    assert info.hparams["on"].bool_value is True
    assert info.hparams["opt"].string_value == "adam"


def test_a_session_start_does_not_depend_on_the_order_of_the_config():
    names = [f"k{n}" for n in range(50)]
    there = session_start(dict.fromkeys(names, 1), 1)
    back = session_start(dict.fromkeys(reversed(names), 1), 1)
    assert there.metadata.plugin_data.content == back.metadata.plugin_data.content


def test_a_session_ends_well_or_badly_and_not_at_a_crash():
    assert content(session_end("finished", 1)).session_end_info.status == 1
    assert content(session_end("failed", 1)).session_end_info.status == 2
    assert session_end("crashed", 1) is None
