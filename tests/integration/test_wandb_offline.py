"""The W&B sink offline, with the real library: killed anywhere, every row once after `wandb sync`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exptrack_daemon.sinks.wandb.readback import count_history, fragments_of
from tests.support.fake_wandb import FakeWandb
from tests.support.wandb_journal import Script
from tests.support.wandb_supervisor import API_KEY, Supervisor, wait_until

pytest.importorskip("wandb")


def sync(home: Path, server: FakeWandb, run_id: str = "run-1") -> None:
    folders = [str(path.parent) for path in fragments_of(home / "runs" / run_id)]
    environment = {key: text for key, text in os.environ.items() if "WANDB" not in key}
    environment |= {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": API_KEY,
        "WANDB_ERROR_REPORTING": "false",
        "HOME": str(home),
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home),
        "WANDB_CONFIG_DIR": str(home),
    }
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *folders]
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def row_numbers(server: FakeWandb, run_id: str = "run-1") -> list[int]:
    return [row["i"] for row in server.run(run_id).rows if "i" in row]


def test_rows_and_media_stand_in_the_offline_folder_and_sync_brings_them_to_the_server(tmp_path):
    script = Script(rows=200, media_every=2)
    with FakeWandb() as server, Supervisor(tmp_path, script) as supervisor:
        supervisor.start().wait_done()
        assert supervisor.settled == {"run-1": 200}
        held = count_history(tmp_path / "runs" / "run-1")
        assert (held.fragments, held.lines, held.doubled, held.missing) == (1, 210, 0, 0)
        assert held.points == 200 * 3 + 10
        sync(tmp_path, server)
        run = server.run("run-1")
        assert row_numbers(server) == list(range(200))
        assert [row["_step"] for row in run.rows] == list(range(210))
        first = run.rows[0]
        assert first["step"] == 1_000_000
        assert first["_timestamp"] == 1_700_000_000.0
        types = [
            row[f"media/{n}"]["_type"]
            for n in range(1, 5)
            for row in run.rows
            if f"media/{n}" in row
        ]
        assert types == ["histogram", "html-file", "html-file", "image-file"]
        paths = [
            value["path"]
            for row in run.rows
            for value in row.values()
            if isinstance(value, dict) and "path" in value
        ]
        assert len(paths) == 7
        assert set(paths) <= set(run.files)
        assert run.settings == {"lr": 0.1}
        assert run.attributes["tags"] == ["a-tag"]
        assert run.exit_code == 0


@pytest.mark.timeout(120)
def test_a_worker_killed_at_any_moment_leaves_each_row_in_exactly_one_fragment(tmp_path):
    script = Script(rows=4_000, media_every=20, values=5)
    moments = random.Random(7)
    with (
        FakeWandb() as server,
        Supervisor(tmp_path, script, batch=4, pause_s=0.02) as supervisor,
    ):
        for _ in range(5):
            before = supervisor.settled.get("run-1", 0)
            supervisor.start().wait_settled(before + moments.randrange(1, 500))
            supervisor.kill()
        supervisor.pause_s = 0
        supervisor.start().wait_done()
        held = count_history(tmp_path / "runs" / "run-1")
        assert held.fragments >= 5
        assert (held.lines, held.doubled, held.missing) == (4_020, 0, 0)
        sync(tmp_path, server)
        assert row_numbers(server) == list(range(4_000))
        assert len(server.run("run-1").history) == 4_020


def test_a_killed_service_is_noticed_and_its_unwritten_rows_come_again(tmp_path):
    script = Script(rows=1_500)
    with Supervisor(tmp_path, script, pause_s=0.03) as supervisor:
        supervisor.watch().wait_settled(200)
        os.kill(supervisor.helper, 9)
        wait_until(lambda: supervisor.restarts, "the worker asks for a new process")
        supervisor.wait_done()
        held = count_history(tmp_path / "runs" / "run-1")
        assert (held.fragments, held.lines, held.doubled, held.missing) == (2, 1_500, 0, 0)
        assert (
            "service process has died" in supervisor.reasons[0]
            or "is gone" in supervisor.reasons[0]
        )


def test_what_is_settled_stands_in_the_files(tmp_path):
    with Supervisor(tmp_path, Script(rows=3_000, status=None), pause_s=0.005) as supervisor:
        supervisor.start()
        for rows in (100, 800, 2_000):
            supervisor.wait_settled(rows)
            settled = supervisor.settled["run-1"]
            assert count_history(tmp_path / "runs" / "run-1").lines >= settled


def test_a_run_that_is_stopped_and_started_again_goes_on_in_a_new_fragment(tmp_path):
    script = Script(rows=600, status=None)
    with Supervisor(tmp_path, script, pause_s=0.02) as supervisor:
        supervisor.start().wait_settled(100)
        supervisor.terminate()
        settled = supervisor.settled["run-1"]
        assert count_history(tmp_path / "runs" / "run-1").lines == settled < 600
        supervisor.start().wait_settled(600)
        held = count_history(tmp_path / "runs" / "run-1")
        assert (held.fragments, held.lines, held.doubled) == (2, 600, 0)


def test_a_service_that_outlives_its_worker_is_waited_for(tmp_path):
    script = Script(rows=2_000)
    with Supervisor(tmp_path, script, batch=4, pause_s=0.002) as supervisor:
        supervisor.start().wait_settled(100)
        helper = supervisor.helper
        # It may still write down what it has: nobody can know yet where the next fragment begins.
        os.kill(helper, signal.SIGSTOP)
        supervisor.kill(with_children=False)
        supervisor.start()
        wait_until(lambda: supervisor.reasons, "the next worker waits")
        assert "has not left yet" in supervisor.reasons[0]
        assert len(fragments_of(tmp_path / "runs" / "run-1")) == 1
        os.kill(helper, signal.SIGCONT)
        supervisor.wait_done()
        held = count_history(tmp_path / "runs" / "run-1")
        assert (held.lines, held.doubled, held.missing) == (2_000, 0, 0)
