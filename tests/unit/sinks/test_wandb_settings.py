"""The table `[sinks.wandb]`, and the decision between online and offline."""

from __future__ import annotations

import pytest

from exptrack_daemon.errors import ConfigInvalid, SinkUnavailable
from exptrack_daemon.sinks.wandb.settings import WandbSettings, find_destination, read_settings

KEY = "k" * 40


def no_netrc(_: str) -> None:
    return None


def test_nothing_said_means_the_defaults():
    assert read_settings({}) == WandbSettings()


def test_unknown_keys_are_named_together_with_the_known_ones():
    with pytest.raises(ConfigInvalid, match=r"does not know colour, modus; it knows mode, entity"):
        read_settings({"colour": "x", "modus": "online"})


@pytest.mark.parametrize(
    "table",
    [
        {"mode": "on"},
        {"artifacts": "all"},
        {"mode": 1},
        {"entity": ""},
        {"init_timeout_s": 0},
        {"init_timeout_s": True},
        {"finish_timeout_s": "5"},
        {"finish_timeout_s": float("nan")},
        {"transmit_interval_s": 0.5},
        {"transmit_interval_s": 0},
        {"transmit_interval_s": 1.0},
        {"base_url": "localhost:8080"},
        {"base_url": "ftp://host"},
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(table):
    (name,) = table
    with pytest.raises(ConfigInvalid, match=f"sinks.wandb.{name} must be"):
        read_settings(table)


def test_auto_is_online_with_a_key_and_offline_without():
    settings = read_settings({})
    assert find_destination(settings, {}).mode == "offline"
    found = find_destination(settings, {"WANDB_API_KEY": KEY})
    assert (found.mode, found.api_key, found.base_url) == ("online", KEY, "https://api.wandb.ai")


def test_the_key_file_counts_before_the_environment(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    settings = read_settings({"api_key_file": str(path), "base_url": "http://here:1/"})
    found = find_destination(settings, {"WANDB_API_KEY": "other", "WANDB_BASE_URL": "http://there"})
    assert (found.api_key, found.base_url) == (KEY, "http://here:1")


def test_a_key_file_that_cannot_be_read_is_said_and_asked_for_again(tmp_path):
    settings = read_settings({"api_key_file": str(tmp_path / "none")})
    with pytest.raises(SinkUnavailable, match="cannot be read"):
        find_destination(settings, {})


def test_online_without_a_key_says_what_to_set_and_looks_where_wandb_login_puts_it():
    settings = read_settings({"mode": "online"})
    with pytest.raises(SinkUnavailable, match="WANDB_API_KEY"):
        find_destination(settings, {}, netrc_key=no_netrc)
    assert find_destination(settings, {}, netrc_key=lambda _: KEY).api_key == KEY


def test_a_run_stays_what_it_was_begun_as():
    environment = {"WANDB_API_KEY": KEY}
    offline = find_destination(read_settings({}), environment, begun_as="offline")
    assert offline.mode == "offline"
    online = find_destination(read_settings({"mode": "offline"}), environment, begun_as="online")
    assert online.mode == "online"


def test_a_key_does_not_show_in_a_repr():
    assert KEY not in repr(find_destination(read_settings({}), {"WANDB_API_KEY": KEY}))
