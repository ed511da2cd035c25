"""Starting a daemon: one winner, nothing raised, no zombie, and a word when it cannot be."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exptrack_agent import launch


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="exptrack")
    return caplog


def hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which starts there were, without one."""
    starts: list[int] = []
    monkeypatch.setattr(launch, "_spawn", lambda home, lock, log: starts.append(lock))
    return starts


def test_looking_for_a_daemon_touches_nothing(tmp_path):
    assert not launch.daemon_is_running(tmp_path)
    assert not launch.daemon_is_near(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_runs_while_it_holds_its_lock_and_is_near_while_it_starts(tmp_path):
    starting = hold(tmp_path / "launch.lock")
    assert not launch.daemon_is_running(tmp_path)
    assert launch.daemon_is_near(tmp_path)
    running = hold(tmp_path / "daemon.lock")
    assert launch.daemon_is_running(tmp_path)
    os.close(starting)
    assert launch.daemon_is_near(tmp_path)
    os.close(running)
    assert not launch.daemon_is_near(tmp_path)


def test_nothing_is_started_beside_a_daemon_or_a_starting_one(tmp_path, spawned):
    for name in ("daemon.lock", "launch.lock"):
        held = hold(tmp_path / name)
        launch.ensure_daemon(tmp_path)
        os.close(held)
    assert spawned == []
    launch.ensure_daemon(tmp_path)
    assert len(spawned) == 1


def test_a_daemon_that_came_up_in_between_is_seen(tmp_path, spawned, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(launch, "daemon_is_running", lambda home: next(answers))
    launch.ensure_daemon(tmp_path)
    assert spawned == []


def test_who_only_looks_does_not_keep_another_from_starting(tmp_path, spawned, monkeypatch):
    looking = os.open(tmp_path / "launch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(os, "sched_yield", lambda: fcntl.flock(looking, fcntl.LOCK_UN))
    launch.ensure_daemon(tmp_path)
    assert len(spawned) == 1
    os.close(looking)


def test_without_the_daemons_parts_it_says_what_to_install(tmp_path, said, spawned, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "msgspec" else real(name)
    )
    for _ in range(2):
        launch.ensure_daemon(tmp_path)
    assert spawned == []
    assert len(said.messages) == 1
    assert "pip install 'exptrack[daemon]'" in said.text


def test_a_module_put_in_by_hand_is_no_daemon(tmp_path, said, spawned, monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", type("Fake", (), {"__spec__": None})())
    launch.ensure_daemon(tmp_path)
    assert spawned == []
    assert len(said.messages) == 1


@pytest.mark.parametrize(
    "error",
    [OSError(12, "Cannot allocate memory"), ValueError("null"), subprocess.SubprocessError()],
)
def test_whatever_goes_wrong_is_said_and_training_goes_on(tmp_path, said, monkeypatch, error):
    def refuses(home: Path, lock: int, log: int) -> None:
        raise error

    monkeypatch.setattr(launch, "_spawn", refuses)
    before = len(list(Path("/proc/self/fd").iterdir()))
    launch.ensure_daemon(tmp_path)
    assert "was not started" in said.text
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not launch.daemon_is_near(tmp_path)


def test_an_embedded_python_does_not_start_itself(tmp_path, said, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    launch.ensure_daemon(tmp_path)
    assert "does not know its Python" in said.text


def test_a_home_that_cannot_be_made_is_said(tmp_path, said):
    (tmp_path / "file").touch()
    launch.ensure_daemon(tmp_path / "file" / "home")
    assert len(said.messages) == 1


def test_the_daemon_gets_a_session_of_its_own_and_nothing_of_this_ranks_settings(
    tmp_path, monkeypatch
):
    seen = tmp_path / "seen"
    script = tmp_path / "python"
    script.write_text(
        f"#!/bin/sh\nenv > {seen}.new\nps -o sid= -p $$ >> {seen}.new\nmv {seen}.new {seen}\n"
    )
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("RANK", "3")
    home = tmp_path / "home"
    launch.ensure_daemon(home)
    (pid,) = launch._started
    deadline = time.monotonic() + 10
    while not seen.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    text = seen.read_text()
    assert "CUDA_VISIBLE_DEVICES" not in text
    assert "\nRANK=" not in text
    assert "PYTHONSAFEPATH=1" in text
    while launch._started:
        assert time.monotonic() < deadline
        launch.reap()
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_reaping_what_is_not_ours_does_no_harm():
    launch._started.append(1)
    launch.reap()
    assert launch._started == []
