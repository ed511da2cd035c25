"""A worker process as the supervisor sees it: started again after pauses, killed with its helpers if hung."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from exptrack_daemon.supervisor import worker as worker_module
from exptrack_daemon.supervisor.worker import (
    FIRST_PAUSE_S,
    GIVES_WAY_NICE,
    LONGEST_PAUSE_S,
    Worker,
    WorkerSpec,
    give_way,
)
from tests.support.processes import wait_until

pytestmark = pytest.mark.timeout(40)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A worker whose module is the given code."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = []

    def make(code, hung_after_s=60.0, **how):
        name = f"worker_{len(made)}_{time.monotonic_ns()}"
        (tmp_path / f"{name}.py").write_text(code)
        made.append(Worker(WorkerSpec("w", name, (), hung_after_s, **how)))
        return made[-1]

    yield make
    for worker in made:
        worker.kill()
        worker.wait(10)


def listen_until(worker, condition, now=0.0):
    def heard():
        worker.listen(now)
        return condition()

    return wait_until(heard, 10)


REPORT = "import json, sys\nprint(json.dumps({'lag_rows': 5}), flush=True)\n"


def test_it_starts_reports_and_ends_when_its_stdin_does(make):
    worker = make(REPORT + "sys.stdin.read()")
    assert worker.state == "waiting"
    worker.start(0)
    assert worker.state == "starting"
    listen_until(worker, lambda: worker.has_reported)
    assert (worker.state, worker.facts) == ("running", {"lag_rows": 5})
    pid = worker.pid
    worker.start(0)
    assert worker.pid == pid
    worker.ask_to_stop()
    worker.ask_to_stop()
    assert worker.wait(10)
    assert worker.wait(10)
    assert worker.pid is None
    assert worker.descriptor is None


def test_one_that_dies_is_started_again_after_pauses_that_double(make):
    worker = make("")
    now, pauses = 1000.0, []
    for _ in range(8):
        worker.start(now)
        worker._process.wait()
        worker.check(now)
        died = now
        while worker.pid is None:
            now += 0.25
            worker.start(now)
        pauses.append(now - died)
    assert pauses == [min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**n) for n in range(8)]
    assert worker.restarts == 8


def test_one_that_lived_for_long_begins_with_the_short_pause_again(make):
    worker = make("")
    worker._pause_s = 16.0
    worker.start(0)
    worker._process.wait()
    worker.check(1000)
    worker.start(1000 + FIRST_PAUSE_S)
    assert worker.pid is not None


def test_one_that_asks_for_a_new_process_gets_it_at_once_unless_it_always_does(make):
    worker = make("raise SystemExit(75)")
    worker.start(0)
    worker._process.wait()
    worker.check(10)
    worker.start(10)
    assert worker.pid is not None
    worker._process.wait()
    worker.check(10.5)
    worker.start(10.6)
    assert worker.pid is None, "it lived for half a second"


def test_one_that_hangs_is_killed_with_its_session_and_the_helpers_it_announced(make):
    code = (
        "import json, subprocess, sys, psutil\n"
        "def helper(**options):\n"
        "    command = [sys.executable, '-c', 'input()']\n"
        "    return subprocess.Popen(command, stdin=subprocess.PIPE, **options)\n"
        "own, other = helper(), helper(start_new_session=True)\n"
        "born = psutil.Process(other.pid).create_time()\n"
        "print(json.dumps({'children': [[other.pid, born]], 'own': own.pid}), flush=True)\n"
        "sys.stdin.read()\n"
    )
    worker = make(code, hung_after_s=5)
    worker.start(100)
    listen_until(worker, lambda: worker.has_reported, 100)
    pids = [worker.pid, worker.facts["own"], worker.facts["children"][0][0]]
    worker.check(104)
    assert all(psutil.pid_exists(pid) for pid in pids)
    worker.check(105.5)
    wait_until(lambda: (worker.check(106), worker.pid is None)[1], 10)
    wait_until(lambda: not any(alive(pid) for pid in pids), 10)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_killed(make):
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = make("import sys; sys.stdin.read()")
    worker.start(0)
    born = psutil.Process(stranger.pid).create_time()
    worker.facts = {"children": [[stranger.pid, born - 100]]}
    worker.kill()
    assert worker.wait(10)
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_helpers_of_an_earlier_process_are_forgotten_at_the_next_start(make):
    worker = make("import sys; sys.stdin.read()")
    worker.facts = {"children": [[1, 2.0]], "lag_rows": 3}
    worker.start(0)
    assert worker.facts == {"lag_rows": 3}


def test_a_slow_start_is_not_a_hang(make):
    worker = make("import sys; sys.stdin.read()", hung_after_s=5)
    worker.start(0)
    worker.check(20)
    assert worker.pid is not None
    assert worker._process.poll() is None
    worker.check(31)
    assert worker._process.wait(10) == -9


def test_only_json_objects_are_reports(make):
    code = 'print(\'5\\nnull\\n[1]\\n"x"\\n{bad\\n\\n{"ok": 1}\', flush=True); import sys; sys.stdin.read()'
    worker = make(code)
    worker.start(0)
    listen_until(worker, lambda: worker.has_reported)
    assert worker.facts == {"ok": 1}


def test_one_that_cannot_be_started_is_tried_again(make, monkeypatch):
    worker = make("import sys; sys.stdin.read()")
    real = subprocess.Popen

    def refuse(*_, **__):
        raise OSError(11, "no more processes")

    monkeypatch.setattr(worker_module.subprocess, "Popen", refuse)
    worker.start(0)
    assert worker.state == "waiting"
    monkeypatch.setattr(worker_module.subprocess, "Popen", real)
    worker.start(0.1)
    assert worker.pid is None
    worker.start(FIRST_PAUSE_S)
    assert worker.pid is not None


def test_nothing_in_the_users_folder_shadows_a_module(make, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path / "here")
    worker = make(REPORT + "sys.stdin.read()")
    worker.start(0)
    listen_until(worker, lambda: worker.has_reported)


def test_one_that_gives_way_does_so_with_its_session_and_others_do_not(make):
    patient, other = (make("import sys\nsys.stdin.read()", gives_way=way) for way in (True, False))
    before = os.getpriority(os.PRIO_PROCESS, 0)
    for worker in (patient, other):
        worker.start(0)
    wait_until(lambda: worker_is_checked(patient, other), 10)
    assert os.getpriority(os.PRIO_PROCESS, patient.pid) == max(before, GIVES_WAY_NICE)
    assert os.sched_getscheduler(patient.pid) == os.SCHED_BATCH
    assert os.getpriority(os.PRIO_PROCESS, other.pid) == before
    assert os.sched_getscheduler(other.pid) == os.sched_getscheduler(0)
    group = Path(f"/proc/{patient.pid}/autogroup")
    if group.exists():
        assert group.read_text().split()[-1] == str(GIVES_WAY_NICE)


def worker_is_checked(*workers):
    for worker in workers:
        worker.check(0)
    return all(worker._gave_way for worker in workers)


def test_giving_way_is_tried_again_while_the_kernel_is_asked_too_often(monkeypatch):
    def refuse(path, text):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(Path, "write_text", refuse)
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        assert not give_way(process.pid)
    finally:
        process.kill()
        process.wait()


def test_giving_way_of_what_is_gone_changes_nothing():
    process = subprocess.Popen(["true"])
    process.wait()
    assert give_way(process.pid)
