"""daemon start|stop|status|run, recover and replay: what is asked of the supervisor, and how it is told."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from exptrack_daemon import supervisor
from exptrack_daemon.cli import app
from exptrack_daemon.errors import AlreadyRunning, HomeUnusable
from tests.support.homes import HomeBuilder

STATE = {
    "running": True,
    "pid": 4321,
    "boot": "b",
    "version": "0.1.0",
    "started_ns": 1_700_000_000_000_000_000,
    "home": "/h\x1b[31m",
    "endpoints": {},
    "processes": [
        {"name": "intake", "pid": 1, "state": "running", "restarts": 2, "rss_bytes": 5 << 20, "cpu_s": 1.5},
        {"name": "sink\x1b[31m", "pid": None, "state": "waiting", "restarts": 0, "rss_bytes": None}
        | {"cpu_s": None},
    ],
    "sinks": [
        {"name": "wandb", "state": "unavailable", "lag_rows": 1_234, "dead_letters": 3}
        | {"reason": "no\x1b[0m " + "r" * 999},
    ],
    "intake": {"frames": 10, "rows": 1_000, "points": 2_000_000, "bytes": 1 << 30, "rejected": 4},
    "disk_free_bytes": 7 << 30,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """What the supervisor was asked; answers can be set."""
    calls = {}
    answers = {
        "run_daemon": 0,
        "start_detached": STATE,
        "stop": True,
        "status": STATE,
        "request_replay": None,
        "recover": {"streams": 2, "rows": 1_500},
    }

    def answering(name):
        def answer(*arguments, **options):
            calls[name] = (arguments, options)
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return answer

    for name in answers:
        monkeypatch.setattr(supervisor, name, answering(name))
    calls["answers"] = answers
    return calls


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


def run_cli(home, *arguments, code=0):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_start_says_where_and_is_content_with_one_that_runs(home, asked):
    assert "Daemon started: pid 4321" in run_cli(home, "daemon", "start")
    assert asked["start_detached"][0] == (home.path, 10)
    asked["answers"]["start_detached"] = AlreadyRunning("yes")
    assert "running already" in run_cli(home, "daemon", "start")
    assert json.loads(run_cli(home, "daemon", "start", "--json"))["pid"] == 4321


def test_a_home_that_cannot_be_used_is_exit_code_5_with_the_log_in_lines(home, asked):
    asked["answers"]["start_detached"] = HomeUnusable(
        "did not come up:\nline\x1b[31m one\nline two"
    )
    shown = run_cli(home, "daemon", "start", code=5)
    assert "did not come up:\nline\\x1b[31m one\nline two" in shown


def test_a_link_to_the_home_is_resolved_as_everybody_resolves_it(home, asked, tmp_path):
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(home.path)
    CliRunner().invoke(app, ["daemon", "start", "--home", str(link)])
    assert asked["start_detached"][0][0] == home.path


def test_stop_tells_whether_there_was_one(home, asked):
    assert "stopped" in run_cli(home, "daemon", "stop", "--timeout", "3")
    assert asked["stop"][0] == (home.path, 3.0)
    asked["answers"]["stop"] = False
    assert "No daemon was running" in run_cli(home, "daemon", "stop")


def test_run_hands_on_its_options_and_its_exit_code(home, asked):
    asked["answers"]["run_daemon"] = 7
    run_cli(home, "daemon", "run", "--idle-exit", "60", code=7)
    assert asked["run_daemon"] == ((home.path,), {"autostarted": False, "idle_exit_s": 60.0})


def test_status_reads_at_a_glance_and_harmless(home, asked):
    shown = run_cli(home, "daemon", "status")
    for text in (
        "running",
        "4321",
        "2 M points in 1,000 rows",
        "4 frames",
        "1,234",
        "5.0 MiB",
        "7.0 GiB",
    ):
        assert text in shown
    assert all(line.isprintable() for line in shown.splitlines())
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"running": False}, "exptrack daemon start"),
        ({"running": True, "responding": False}, "does not answer"),
    ],
)
def test_status_of_no_daemon_is_exit_code_4(home, asked, state, says):
    asked["answers"]["status"] = state
    assert says in run_cli(home, "daemon", "status", code=4)
    assert json.loads(run_cli(home, "daemon", "status", "--json", code=4)) == state


def test_status_as_json_is_what_the_supervisor_says(home, asked):
    assert json.loads(run_cli(home, "daemon", "status", "--json")) == STATE


def test_recover_tells_what_it_found(home, asked):
    assert "Brought in 1,500 rows of 2 streams" in run_cli(home, "recover")
    assert json.loads(run_cli(home, "recover", "--json")) == {"streams": 2, "rows": 1_500}
    asked["answers"]["recover"] = {"streams": 1, "rows": 0}
    assert "what was left of 1 stream" in run_cli(home, "recover")
    asked["answers"]["recover"] = {"streams": 0, "rows": 0}
    assert "Nothing was left" in run_cli(home, "recover")


def test_replay_says_what_will_happen_and_asks_for_it(home, asked):
    home.finished_run("r1", rows=5)
    shown = run_cli(home, "replay", "latest", "--to", "tensorboard")
    assert "its 5 rows again" in shown
    assert "twice" not in shown
    assert asked["request_replay"][0] == (home.path, "r1", "tensorboard")
    assert "may then be there twice" in run_cli(home, "replay", "r1", "--to", "wandb", "--yes")


def test_replay_to_an_unknown_sink_or_run_is_refused(home, asked):
    home.finished_run("r1")
    shown = run_cli(home, "replay", "r1", "--to", "../x", code=3)
    assert "there are: catalog" in shown
    run_cli(home, "replay", "nope", "--to", "tensorboard", code=3)
    assert "request_replay" not in asked
