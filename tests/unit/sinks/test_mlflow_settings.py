"""The table `[sinks.mlflow]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.mlflow.settings import read_settings

HOME = Home(Path("/the/home"))


def test_nothing_said_means_a_database_in_the_home():
    settings = read_settings({}, HOME)
    assert settings.tracking_uri == "sqlite:////the/home/mlflow/mlflow.db"
    assert settings.artifacts == "/the/home/mlflow/artifacts"
    assert settings.is_database


def test_a_server_decides_itself_where_files_stand():
    settings = read_settings({"tracking_uri": "http://127.0.0.1:5000"}, HOME)
    assert (settings.artifacts, settings.is_database) == (None, False)


def test_unknown_keys_are_named_together_with_the_known_ones():
    with pytest.raises(
        ConfigInvalid, match="does not know colour; it knows tracking_uri, artifacts"
    ):
        read_settings({"colour": "x"}, HOME)


@pytest.mark.parametrize(
    "table",
    [
        {"tracking_uri": "file:///tmp/mlruns"},
        {"tracking_uri": "sqlite:///relative.db"},
        {"tracking_uri": "somewhere"},
        {"tracking_uri": 5},
        {"artifacts": ""},
        {"experiment_prefix": 1},
        {"request_timeout_s": 0.5},
        {"request_timeout_s": True},
        {"request_timeout_s": 60},
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(table):
    (name,) = table
    with pytest.raises(ConfigInvalid, match=f"sinks.mlflow.{name} must be"):
        read_settings(table, HOME)


@pytest.mark.parametrize("uri", ["http://me:secret@host", "postgresql://me:secret@host/db"])
def test_a_password_in_the_settings_is_refused_and_not_repeated(uri):
    with pytest.raises(ConfigInvalid, match="environment instead") as raised:
        read_settings({"tracking_uri": uri}, HOME)
    assert "secret" not in str(raised.value)
    with pytest.raises(ConfigInvalid) as raised:
        read_settings({"tracking_uri": uri.replace("://", "x://")}, HOME)
    assert "secret" not in str(raised.value)
