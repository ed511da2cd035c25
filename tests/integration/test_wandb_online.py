"""The W&B sink online, with the real library and a fake server that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exptrack_daemon.home import Home
from tests.support.fake_wandb import FakeWandb
from tests.support.wandb_journal import Script
from tests.support.wandb_supervisor import API_KEY, Supervisor, wait_until

pytest.importorskip("wandb")


@pytest.fixture
def server():
    with FakeWandb() as started:
        yield started


def supervise(home: Path, server: FakeWandb, *scripts: Script, **how: Any) -> Supervisor:
    settings = {
        "mode": "auto",
        "base_url": server.url,
        "transmit_interval_s": 1,
        "init_timeout_s": 5,
        "finish_timeout_s": 5,
    }
    settings |= how.pop("settings", {})
    environment = {"WANDB_API_KEY": API_KEY, **how.pop("environment", {})}
    # One entry of ten rows a turn: a script of 900 rows and pauses of 0.05 s takes 4.5 s.
    how = {"batch": 1, **how}
    return Supervisor(home, *scripts, settings=settings, environment=environment, **how)


def asked(server: FakeWandb, operation: str = "RunResumeStatus") -> int:
    return sum(label == operation for label, _ in list(server.requests))


def assert_each_row_once(server: FakeWandb, script: Script) -> None:
    rows = server.run(script.run_id).rows
    numbers = [row["i"] for row in rows if "i" in row]
    assert numbers == list(range(script.all_rows))
    steps = [row["_step"] for row in rows]
    assert steps == list(range(len(rows)))


def test_history_config_summary_tags_and_files_arrive(tmp_path, server):
    script = Script(rows=200, media_every=2, config={"lr": 0.1, "net": {"depth": 3}})
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
    run = server.run("run-1")
    assert_each_row_once(server, script)
    assert len(run.history) == 210
    assert run.project == "the-project"
    assert run.settings == {"lr": 0.1, "net": {"depth": 3}}
    assert run.summary["i"] == 199
    told = {
        key: run.attributes[key] for key in ("displayName", "groupName", "jobType", "tags", "notes")
    }
    assert told == {
        "displayName": "name of run-1",
        "groupName": "the-group",
        "jobType": "train",
        "tags": ["a-tag"],
        "notes": "some notes",
    }
    assert run.completed
    assert run.exit_code == 0
    media = [value for row in run.rows for value in row.values() if isinstance(value, dict)]
    assert {value["path"] for value in media if "path" in value} <= set(run.files)
    assert len(media) == 10
    cursor = json.loads(Home(tmp_path).cursor("run-1", "wandb").read_text())
    assert cursor["state"]["url"].endswith("/the-project/runs/run-1")


def test_what_the_user_set_stands_whatever_rows_come_later(tmp_path, server):
    hparams = {"kind": "hparams", "hparams": '{"depth": 3}', "metrics": '{"score": 5}'}
    script = Script(
        rows=100,
        extras=[
            {"after": 20, "item": {"kind": "config", "config": '{"lr": 0.2, "new": [1, 2]}'}},
            {"after": 30, "item": {"kind": "summary", "values": '{"v1": "mine", "best": 7}'}},
            {"after": 40, "item": hparams},
            {"after": 50, "item": {"kind": "note", "text": "a note"}},
        ],
        options={"names": {"v2": "shown/v2"}, "step_name": "train/step", "entity": "team"},
    )
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
    run = server.run("run-1")
    assert run.settings == {"lr": 0.2, "new": [1, 2], "depth": 3}
    summary = {key: run.summary[key] for key in ("v1", "shown/v2", "best", "score")}
    assert run.entity == "team"
    assert run.attributes["notes"] == "some notes\na note"
    assert [row["train/step"] for row in run.rows] == list(range(1_000_000, 999_900, -1))
    assert summary == {"v1": "mine", "shown/v2": 99.2, "best": 7, "score": 5}


def test_other_ranks_and_the_sampler_write_into_the_same_wandb_run(tmp_path, server):
    awkward = {"_step": 1, "_timestamp": 2, "": 3, "step": 4, "a.b": 5, "ü /x": True, "text": "t"}
    script = Script(
        rows=20,
        extras=[
            {"after": 10, "rank": 3, "row": [7, 10**18, {"loss": 0.5, "step": 9}]},
            {"after": 10, "role": "sampler", "row": [1, 10**18, {"system/cpu": 12}]},
            {"after": 20, "row": [-5, 10**18, awkward]},
        ],
    )
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
    rows = [
        {key: value for key, value in row.items() if key not in ("_step", "_runtime")}
        for row in server.run("run-1").rows
        if "i" not in row
    ]
    common = {"_timestamp": 1e9}
    assert rows[0] == {"rank_3/loss": 0.5, "rank_3/step": 9, "step": 7, **common}
    assert rows[1].keys() == {"system/cpu", "step", "_timestamp"}
    assert rows[2] == {
        "_step (renamed)": 1,
        "_timestamp (renamed)": 2,
        "(empty)": 3,
        "step": 4,
        "exptrack/step": -5,
        "a.b": 5,
        "ü /x": True,
        "text": "t",
        **common,
    }


def test_an_alert_rings_once_and_an_old_one_not_at_all(tmp_path, server):
    def alert(title, time_ns):
        return {"after": 10, "item": {"kind": "alert", "title": title, "time_ns": time_ns}}

    script = Script(rows=20, extras=[alert("new", time.time_ns()), alert("old", 10**18)])
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
        supervisor.home.joinpath("runs/run-1/sinks/wandb.json").unlink()
        supervisor.start().wait_done()
    assert [alert["title"] for alert in server.run("run-1").alerts] == ["new"]
    assert_each_row_once(server, script)


def test_the_api_key_stands_nowhere_in_the_home(tmp_path, server):
    with supervise(tmp_path, server, Script(rows=20)) as supervisor:
        supervisor.start().wait_done()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if API_KEY.encode() in path.read_bytes()]


def test_users_variables_do_not_bend_the_daemons_runs(tmp_path, server):
    environment = {
        "WANDB_RUN_ID": "other",
        "WANDB_MODE": "disabled",
        "WANDB_PROJECT": "other",
        "WANDB_SERVICE": "2-1-unix-/nowhere",
    }
    with supervise(tmp_path, server, Script(rows=20), environment=environment) as supervisor:
        supervisor.start().wait_done()
    assert server.run("run-1").project == "the-project"


@pytest.mark.parametrize(("exit_code", "shown"), [(3, 3), (-15, 143)], ids=["failed", "preempted"])
def test_a_failed_run_is_failed_at_wandb_with_its_exit_code(tmp_path, server, exit_code, shown):
    script = Script(rows=20, status="failed", exit_code=exit_code)
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
    assert server.run("run-1").exit_code == shown
    assert server.run("run-1").was_preempting == (exit_code == -15)


def test_a_running_run_is_settled_without_waiting_for_its_end(tmp_path, server):
    script = Script(rows=300, status=None, media_every=3)
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_settled(300)
        assert not server.run("run-1").completed
        assert server.lines("run-1") == 310


def test_a_second_attempt_goes_on_in_the_same_wandb_run(tmp_path, server):
    first = Script(rows=100)
    with supervise(tmp_path, server, first) as supervisor:
        supervisor.start().wait_done()
        second = Script(rows=100, second_attempt_rows=50)
        supervisor.scripts = (second,)
        supervisor.start().wait_done()
    assert_each_row_once(server, second)
    assert server.run("run-1").settings == {"lr": 0.1, "attempt": 2}


def test_a_worker_killed_at_any_moment_doubles_and_loses_nothing(tmp_path, server):
    script = Script(rows=2_000, media_every=10)
    with supervise(tmp_path, server, script, batch=4, pause_s=0.02) as supervisor:
        for rows in (150, 600, 1_000):
            supervisor.start().wait_settled(rows)
            supervisor.kill()
        supervisor.start().wait_done()
    assert_each_row_once(server, script)
    run = server.run("run-1")
    paths = {
        v["path"] for row in run.rows for v in row.values() if isinstance(v, dict) and "path" in v
    }
    assert len(paths) == 15
    assert paths <= set(run.files)
    assert run.summary["i"] == 1_999


def test_nothing_is_settled_that_the_server_does_not_hold(tmp_path, server):
    script = Script(rows=2_000, status=None)
    with supervise(tmp_path, server, script, pause_s=0.03) as supervisor:
        supervisor.start().wait_settled(50)
        server.fault("file_stream", status=500)
        before = asked(server)
        wait_until(lambda: asked(server) > before + 2, "the server is asked")
        assert supervisor.settled["run-1"] <= server.lines("run-1") < 2_000
        server.clear_faults()
        supervisor.wait_settled(2_000)
        assert server.lines("run-1") == 2_000


@pytest.mark.parametrize(
    "fault",
    [{"delay_s": 0.7}, {"status": 500, "times": 6}, {"drop": True, "times": 6}],
    ids=["slow", "500s", "dropped connections"],
)
def test_a_server_in_trouble_gets_every_row_once(tmp_path, server, fault):
    script = Script(rows=600, media_every=10)
    with supervise(tmp_path, server, script, pause_s=0.02) as supervisor:
        supervisor.watch().wait_settled(50)
        server.fault(**fault)
        supervisor.wait_done(50)
    assert_each_row_once(server, script)
    assert server.run("run-1").completed


def test_a_server_that_dies_and_comes_back_gets_every_row_once(tmp_path, server):
    script = Script(rows=2_000)
    with supervise(tmp_path, server, script, pause_s=0.03) as supervisor:
        supervisor.watch().wait_settled(100)
        server.stop()
        beats = supervisor.beats
        wait_until(lambda: supervisor.beats > beats + 30, "rows go on into the queue")
        server.restart()
        supervisor.wait_done()
        assert not supervisor.restarts
    assert_each_row_once(server, script)


def test_a_run_that_ends_while_the_server_is_away_is_delivered_later(tmp_path, server):
    script, settings = Script(rows=900), {"finish_timeout_s": 1}
    with supervise(tmp_path, server, script, pause_s=0.05, settings=settings) as supervisor:
        supervisor.watch().wait_settled(50)
        server.stop()
        wait_until(lambda: supervisor.reasons, "it has ended, and cannot be opened again")
        assert supervisor.settled["run-1"] < 900
        server.restart()
        supervisor.wait_done()
    assert_each_row_once(server, script)


def test_a_worker_started_while_the_server_is_away_says_so_and_goes_on_later(tmp_path, server):
    script = Script(rows=900)
    with supervise(tmp_path, server, script, pause_s=0.05) as supervisor:
        supervisor.start().wait_settled(100)
        server.stop()
        supervisor.kill()
        supervisor.start()
        wait_until(lambda: supervisor.reasons, "the next worker says why it cannot go on")
        assert "cannot be reached" in supervisor.reasons[0]
        server.restart()
        supervisor.wait_done()
    assert_each_row_once(server, script)


def test_a_killed_service_doubles_and_loses_nothing(tmp_path, server):
    script = Script(rows=1_000)
    with supervise(tmp_path, server, script, pause_s=0.03) as supervisor:
        supervisor.watch().wait_settled(100)
        os.kill(supervisor.helper, signal.SIGKILL)
        wait_until(lambda: supervisor.restarts, "the worker asks for a new process")
        supervisor.wait_done()
    assert_each_row_once(server, script)


def test_a_hung_service_is_killed_by_the_supervisor_and_nothing_is_doubled_or_lost(
    tmp_path, server
):
    script = Script(rows=8_000)
    with supervise(tmp_path, server, script, pause_s=0.003, heartbeat_s=4) as supervisor:
        supervisor.watch().wait_settled(200)
        os.kill(supervisor.helper, signal.SIGSTOP)
        wait_until(lambda: supervisor.restarts, "the missed heartbeat is noticed")
        supervisor.wait_done()
    assert_each_row_once(server, script)


def test_a_fatal_refusal_in_the_middle_of_a_run_is_noticed_and_answered(tmp_path):
    script = Script(rows=900, status=None)
    with ExitStack() as stack:
        # wandb takes 12 s to tell; so all three at once, each with a server and a worker of its own.
        refusing = {status: stack.enter_context(FakeWandb()) for status in (401, 404, 413)}
        watched = {
            status: stack.enter_context(
                supervise(tmp_path / str(status), server, script, pause_s=0.05)
            ).watch()
            for status, server in refusing.items()
        }
        for status, server in refusing.items():
            watched[status].wait_settled(50)
            server.fault("file_stream", status=status)
        for status, server in refusing.items():
            wait_until(lambda: watched[status].restarts, "it is noticed")  # noqa: B023
            assert f"refused what it was sent of run run-1: {status}" in watched[status].reasons[0]
            server.clear_faults()
        for status, server in refusing.items():
            watched[status].wait_settled(900)
            assert_each_row_once(server, script)


@pytest.mark.timeout(120)  # wandb takes 12 s to tell of each refusal
def test_a_row_that_is_refused_for_ever_is_found_and_the_others_arrive(tmp_path, server):
    server.fault("file_stream", status=413, containing=b"poison")
    huge = {"after": 2, "row": [3, 10**18, {"poison": 1}]}
    script = Script(rows=4, rows_per_entry=1, extras=[huge])
    with supervise(tmp_path, server, script, batch=100) as supervisor:
        supervisor.watch().wait_done(100)
    rows = server.run("run-1").rows
    assert [row["i"] for row in rows if "i" in row] == list(range(4))
    assert [row["_step"] for row in rows if "exptrack/refused" in row] == [2]
    assert not [row for row in rows if "poison" in row]
    assert 1 <= supervisor.restarts <= 6


@pytest.mark.parametrize("mode", ["reference", "upload", "off"])
def test_a_checkpoint_is_a_reference_unless_it_shall_be_uploaded(tmp_path, server, mode):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    item = {"kind": "artifact", "step": 3, "name": "best/model", "type": "model", "size_bytes": 7}
    gone = {**item, "name": "gone", "path": str(tmp_path / "gone.pt")}
    extras = [{"after": 10, "item": {**item, "path": str(path)}}, {"after": 20, "item": gone}]
    script = Script(rows=20, extras=extras)
    with supervise(tmp_path, server, script, settings={"artifacts": mode}) as supervisor:
        supervisor.start().wait_done()
    assert_each_row_once(server, script)
    assert asked(server, "CreateArtifact") == (0 if mode == "off" else 2)
    sent = [body for body in server.uploads.values() if body == b"weights"]
    assert len(sent) == (mode == "upload")
    manifests = b"".join(server.uploads.values())
    assert (path.as_uri().encode() in manifests) == (mode == "reference")


def test_what_define_metric_was_asked_for_is_what_wandb_is_told(tmp_path, server):
    asked = {"loss": {"step_metric": "epoch", "summary": "min"}, "bad*x": {"summary": "min"}}
    config = json.dumps({"_wandb": {"metrics": asked}, "lr": 1})
    script = Script(rows=20, extras=[{"after": 10, "item": {"kind": "config", "config": config}}])
    with supervise(tmp_path, server, script) as supervisor:
        supervisor.start().wait_done()
    run = server.run("run-1")
    assert run.settings == {"lr": 1}
    told = run.config["_wandb"]["value"]["m"]
    assert any(metric.get("1") == "loss" for metric in told)


def test_the_stop_button_does_not_restart_the_worker(tmp_path, server):
    script = Script(rows=6_000, status=None)
    with supervise(tmp_path, server, script, pause_s=0.05) as supervisor:
        supervisor.watch().wait_settled(50)
        server.press_stop("run-1")
        pressed = "RunStoppedStatus"
        wait_until(lambda: asked(server, pressed), "the button is noticed", timeout_s=35)
        supervisor.wait_settled(supervisor.settled["run-1"] + 50)
        assert not supervisor.restarts


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 401}, "refused the API key (401)"),
        ({"status": 503}, "answered 503"),
        ({"drop": True}, "cannot be reached"),
        ({"delay_s": 3}, "no answer from W&B at http://127.0.0.1"),
    ],
    ids=["401", "503", "dropped", "hung"],
)
def test_a_run_that_cannot_be_opened_says_why_and_is_tried_again(tmp_path, server, fault, reason):
    server.fault(**fault)
    script = Script(rows=30)
    with supervise(tmp_path, server, script, settings={"init_timeout_s": 1}) as supervisor:
        supervisor.start()
        wait_until(lambda: supervisor.reasons, "it says why", timeout_s=10)
        assert reason in supervisor.reasons[0]
        server.clear_faults()
        supervisor.wait_done()
    assert_each_row_once(server, script)
    assert not supervisor.restarts


def test_several_runs_share_one_worker(tmp_path, server):
    scripts = [Script(run_id=f"run-{n}", rows=150, media_every=5) for n in range(5)]
    with supervise(tmp_path, server, *scripts) as supervisor:
        supervisor.start().wait_done()
        assert len(set(supervisor.children)) == 1
    for script in scripts:
        assert_each_row_once(server, script)
        assert server.run(script.run_id).completed


def test_a_worker_that_stops_sends_the_rest_and_the_next_one_resumes(tmp_path, server):
    script = Script(rows=1_500, status=None)
    with supervise(tmp_path, server, script, pause_s=0.03) as supervisor:
        supervisor.start().wait_settled(50)
        supervisor.terminate()
        assert supervisor.settled["run-1"] == server.lines("run-1") < 1_500
        assert server.run("run-1").exit_code == 0
        supervisor.start().wait_settled(1_500)
    assert_each_row_once(server, script)


def test_a_worker_that_stops_does_not_wait_for_a_server_that_is_away(tmp_path, server):
    script = Script(rows=900, status=None)
    settings = {"finish_timeout_s": 60}
    with supervise(tmp_path, server, script, pause_s=0.05, settings=settings) as supervisor:
        supervisor.start().wait_settled(50)
        before = asked(server)
        server.fault(status=500)
        wait_until(lambda: asked(server) > before + 1, "the server is asked")
        started = time.monotonic()
        supervisor.terminate()
        assert time.monotonic() - started < 5


def test_what_wandb_kept_on_disk_of_a_delivered_run_is_removed(tmp_path, server):
    with supervise(tmp_path, server, Script(rows=50)) as supervisor:
        supervisor.start().wait_done()
    assert not list((tmp_path / "runs" / "run-1" / "wandb").glob("run-*"))
