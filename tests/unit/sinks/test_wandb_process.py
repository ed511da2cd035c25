"""What the W&B sink does to its process: the environment, a library that is missing, its settings."""

from __future__ import annotations

import copy
import os
import sys
import threading
from pathlib import Path

import pytest

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.errors import ConfigInvalid, SinkBroken
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.base import SinkContext
from exptrack_daemon.sinks.wandb import open_sink, process
from exptrack_daemon.sinks.wandb.errors import WorkerMustRestart
from exptrack_daemon.sinks.wandb.session import Plan, _plain, session_settings
from exptrack_daemon.sinks.wandb.settings import Destination, WandbSettings
from tests.support.wandb_journal import Script


@pytest.fixture
def context(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in process._environment(tmp_path / "wandb"):
        monkeypatch.setenv(name, "")  # so that it is taken back afterwards
    monkeypatch.setattr(process.atexit, "register", lambda act: act)
    return SinkContext(Home(tmp_path), tmp_path / "runs", {}, SystemClock(), print)


def test_a_missing_library_breaks_the_sink_and_says_what_to_install(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SinkBroken, match=r"pip install 'exptrack\[wandb\]'"):
        open_sink(Script().info, context, None)


def test_an_unknown_setting_is_refused_before_anything_is_imported(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    wrong = SinkContext(context.home, context.folder, {"mod": 1}, context.clock, print)
    with pytest.raises(ConfigInvalid, match="does not know mod"):
        open_sink(Script().info, wrong, None)


def test_the_environment_becomes_ours_and_only_what_reaches_the_server_is_kept(
    context, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("WANDB_SERVICE", "2-1-unix-/x")
    monkeypatch.setenv("WANDB_RUN_ID", "x")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with pytest.raises(SinkBroken):
        process.load_wandb(context.home)
    ours = {name: text for name, text in os.environ.items() if name.startswith("WANDB_")}
    assert "WANDB_SERVICE" not in ours
    assert "WANDB_RUN_ID" not in ours
    assert ours["WANDB_API_KEY"] == "k" * 40
    assert ours["WANDB_ERROR_REPORTING"] == "false"
    folders = [ours[f"WANDB_{kind}"] for kind in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")]
    assert all(folder.startswith(str(context.home.path / "wandb")) for folder in folders)


def test_opening_a_run_makes_no_session_and_no_folder(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", type(sys)("wandb"))
    sink = open_sink(Script().info, context, None)
    assert sink.settled() is None
    sink.close()
    assert sink.settled() is None
    assert not context.folder.exists()


def settings_of(mode: str) -> dict:
    destination = Destination(mode, "http://x", None, "k" * 40)
    plan = Plan(
        Script().info,
        destination,
        WandbSettings(),
        Path("/x"),
        config={},
        notes="",
        step_name="step",
    )
    return session_settings(plan, lambda: None)


def test_a_session_is_quiet_resumable_and_never_interrupts_the_worker():
    told = settings_of("online")
    assert told["resume"] == "allow"
    assert told["reinit"] == "create_new"
    assert told["console"] == "off"
    assert told["stop_on_fatal_error"]
    assert callable(told["stop_fn"])
    assert told["x_file_stream_transmit_interval"] == int(told["x_file_stream_transmit_interval"])


def test_an_offline_session_is_not_told_the_key():
    assert settings_of("offline")["api_key"] is None
    assert settings_of("online")["api_key"] == "k" * 40


def test_what_wandb_calls_back_survives_its_copying():
    event = threading.Event()
    copy.deepcopy(_plain(event.set))()
    assert event.is_set()


def test_the_loop_is_told_to_leave_the_process():
    assert getattr(WorkerMustRestart("x"), "restart_worker", False)


def test_no_helper_is_found_where_none_was_started(tmp_path):
    assert process.find_helper() is None
    assert process.find_writer(tmp_path) is None
    process.kill_helper()
