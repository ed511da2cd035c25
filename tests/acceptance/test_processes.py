"""Processes: forks, signals, exits, threads, many runs and ranks. Every row once, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exptrack_agent.settings import ring_root
from exptrack_daemon import supervisor
from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack, steps_of

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def train(script: str, home: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return trainer("import json, gc, threading\n" + script, home, *arguments, **environ)


def status_of(home: Path, run: str) -> str:
    return open_home(home).find(run).status.name if (home / "runs" / run).exists() else ""


def has_status(home: Path, run: str, status: str) -> None:
    wait_until(lambda: status_of(home, run) == status, 20, f"{run} is {status}")


def is_whole(home: Path, run: str, steps: int, name: str = "loss") -> None:
    wait_until((home / "runs" / run).exists, 20)
    wait_until(lambda: len(steps_of(home, run, name)) >= steps, 20, f"{steps} steps of {run}")
    assert steps_of(home, run, name) == list(range(steps))


def nothing_left(home: Path) -> None:
    wait_until(lambda: not any(ring_root(home).glob("*")), 20, "the rings are gone")
    wait_until(lambda: not any((home / "spool").glob("*")), 20, "the spool is empty")


# --- forks ----------------------------------------------------------------------------------------

FORKS = """
import multiprocessing as mp
run = xt.init("forks", run_id="forks", autostart=False)

def worker(number, queue):
    gc.collect()
    for _ in range(50):
        run.log({"loss": -1.0, "worker": number})   # silent: this process did not call init
    run.config["worker"] = number
    queue.put(run.flush())
    run.finish()
    gc.collect()

def loading():
    context = mp.get_context("fork")
    queue = context.SimpleQueue()
    workers = [context.Process(target=worker, args=(n, queue)) for n in range(4)]
    for process in workers:
        process.start()
    return workers

step = 0
for epoch in range(3):
    workers = loading()
    while any(process.is_alive() for process in workers):
        run.log({"loss": 1.0}, step=step)
        step += 1
        time.sleep(0.0005)
    for process in workers:
        process.join()
        assert process.exitcode == 0, process.exitcode
run.finish(timeout_s=20)
print(step)
"""


def test_forked_workers_that_log_are_silent_and_disturb_nobody(daemon: Daemon) -> None:
    steps = int(finished(train(FORKS, daemon.home)))
    is_whole(daemon.home, "forks", steps)
    assert steps_of(daemon.home, "forks", "worker") == []
    has_status(daemon.home, "forks", "finished")
    nothing_left(daemon.home)


def test_a_forked_child_that_calls_init_has_a_run_of_its_own(daemon: Daemon) -> None:
    script = """
run = xt.init("forks", run_id="parent", autostart=False)
run.log({"loss": 1.0}, step=0)
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        own = xt.init("forks", run_id=f"child{number}", autostart=False)
        for step in range(500):
            own.log({"loss": 1.0}, step=step)
            run.log({"loss": -1.0}, step=-1)
        own.finish(timeout_s=20)
        os._exit(0)
    children.append(pid)
for step in range(1, 1000):
    run.log({"loss": 1.0}, step=step)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
run.finish(timeout_s=20)
"""
    finished(train(script, daemon.home))
    is_whole(daemon.home, "parent", 1000)
    for number in range(3):
        is_whole(daemon.home, f"child{number}", 500)
    nothing_left(daemon.home)


def test_a_fork_while_the_courier_imports_leaves_the_child_whole_modules(daemon: Daemon) -> None:
    script = """
import importlib.abc
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "zmq":
            importing.set()
            time.sleep(0.3)
importing = threading.Event()
sys.meta_path.insert(0, Slow())
run = xt.init("forks", run_id="importing", autostart=False)
importing.wait(10)
pid = os.fork()
if pid == 0:
    own = xt.init("forks", run_id="child", autostart=False)
    own.log({"loss": 1.0}, step=0)
    os._exit(0 if own.flush(timeout_s=10) else 1)
assert os.waitpid(pid, 0)[1] == 0
run.log({"loss": 1.0}, step=0)
run.finish(timeout_s=20)
print(run.stats()["pending"])
"""
    assert finished(train(script, daemon.home)).strip() == "0"
    is_whole(daemon.home, "child", 1)
    has_status(daemon.home, "child", "crashed")


def test_a_fork_while_other_threads_log_leaves_no_child_hanging(daemon: Daemon) -> None:
    script = """
run = xt.init("forks", run_id="held", autostart=False)
ended = threading.Event()
counts = [0] * 3
def work(number):
    while not ended.wait(0.0005):
        run.log({f"t{number}": 1.0}, step=counts[number])
        counts[number] += 1
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
for number in range(40):
    pid = os.fork()
    if pid == 0:
        run.log({"loss": 1.0, "bad": object()})
        run.stats(), run.flush(), run.finish()
        if number % 10 == 0:
            own = xt.init("forks", run_id=f"own{number}", autostart=False)
            own.log({"loss": 1.0}, step=0)
            own.finish(timeout_s=20)
        os._exit(0)
    deadline = time.monotonic() + 30
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, status
            break
        assert time.monotonic() < deadline, f"child {number} hangs"
        time.sleep(0.002)
ended.set()
for thread in threads:
    thread.join()
run.finish(timeout_s=30)
print(json.dumps(counts))
"""
    counts = json.loads(finished(train(script, daemon.home)))
    for number, count in enumerate(counts):
        is_whole(daemon.home, "held", count, f"t{number}")
    for number in range(0, 40, 10):
        is_whole(daemon.home, f"own{number}", 1)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_that_end_without_finish_are_finished(
    daemon: Daemon, tmp_path: Path, method: str
) -> None:
    (tmp_path / "job.py").write_text(
        """
import multiprocessing as mp, sys
import exptrack_agent as xt

def work(name):
    run = xt.init("mp", run_id=name, autostart=False)
    for step in range(200):
        run.log({"loss": 1.0}, step=step)
    if name == "failing":
        raise ValueError("as planned")

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    for name in ("working", "failing"):
        process = context.Process(target=work, args=(name,))
        process.start()
        process.join(30)
"""
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "job.py"), method],
        env={**os.environ, "EXPTRACK_HOME": str(daemon.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "exptrack" not in done.stderr.replace("exptrack_agent", "")
    for name, status in (("working", "finished"), ("failing", "failed")):
        is_whole(daemon.home, name, 200)
        has_status(daemon.home, name, status)


# --- ends -----------------------------------------------------------------------------------------

ENDS = {
    "no finish": ("", 0, "finished"),
    "with": ("with run:\n    log(100, 200)\n", 0, "finished"),
    "exception in with": ("with run:\n    1 / 0\n", 1, "failed"),
    "exception": ("1 / 0\n", 1, "failed"),
    "sys.exit(0) in with": ("with run:\n    sys.exit()\n", 0, "finished"),
    "sys.exit(3) in with": ("with run:\n    sys.exit(3)\n", 3, "failed"),
    "sys.exit(3)": ("sys.exit(3)\n", 3, "failed"),
    "sys.exit(3) caught": (
        "try:\n    sys.exit(3)\nexcept SystemExit:\n    pass\n",
        0,
        "finished",
    ),
    "preempted": (
        "run.stop_on_signals()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "while not run.stop_requested:\n    time.sleep(0.01)\n"
        "assert run.stop_requested == 'SIGUSR1'\n",
        0,
        "preempted",
    ),
    "interrupt in with": ("with run:\n    raise KeyboardInterrupt\n", None, "failed"),
    "os._exit": ("os._exit(0)\n", 0, "crashed"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)\n", -15, "crashed"),
    "SIGTERM handled": (
        "def end(number, frame):\n"
        "    run.log({'loss': 1.0}, step=100)\n"
        "    run.finish()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(10)\n",
        0,
        "finished",
    ),
    "abort": ("os.abort()\n", -6, "crashed"),
}


@pytest.mark.parametrize("how", ENDS)
def test_however_a_trainer_ends_its_rows_and_its_status_are_right(daemon: Daemon, how: str) -> None:
    script, code, status = ENDS[how]
    begin = """
run = xt.init("ends", run_id="ends", autostart=False)
def log(first, last):
    for step in range(first, last):
        run.log({"loss": 1.0}, step=step)
log(0, 100)
"""
    process = train(begin + script, daemon.home)
    process.communicate(timeout=30)
    if code is not None:
        assert process.returncode == code
    steps = 200 if how == "with" else 101 if how == "SIGTERM handled" else 100
    is_whole(daemon.home, "ends", steps)
    has_status(daemon.home, "ends", status)
    nothing_left(daemon.home)


def test_a_handler_that_logs_and_ends_in_the_middle_of_log_loses_nothing(daemon: Daemon) -> None:
    script = """
import itertools
run = xt.init("ends", run_id=sys.argv[1], autostart=False)
logged = 0
def end(number, frame):
    run.log({"last": 1.0}, step=0)
    run.finish(timeout_s=20)
    os.write(1, str(logged).encode())
    os._exit(0)
signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
wide = {f"m{n}": 1.0 for n in range(20)}
for step in itertools.count():
    run.log({**wide, "loss": 1.0}, step=step)
    logged += 1
"""
    trainers = {
        f"end{number}": train(script, daemon.home, f"end{number}", str(0.1 + 0.0137 * number))
        for number in range(4)
    }
    for name, process in trainers.items():
        logged = int(finished(process))
        wait_until(lambda n=name: status_of(daemon.home, n) == "finished", 20)
        assert steps_of(daemon.home, name, "last") == [0]
        steps = steps_of(daemon.home, name, "loss")
        assert steps == list(range(len(steps)))
        assert logged <= len(steps) <= logged + 1


def test_interrupts_in_the_middle_of_log_do_no_harm(daemon: Daemon) -> None:
    """A notebook whose user interrupts the cell again and again."""
    script = """
run = xt.init("ends", run_id="notebook", autostart=False)
wide = {f"m{n}": 1.0 for n in range(10)}
def interrupt(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
for cell in range(100):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.00001 * cell)  # more would fill the memory
        while True:
            run.log(wide)
    except KeyboardInterrupt:
        run.log({"loss": 1.0}, step=cell)
run.finish(timeout_s=30)
print(run.stats()["dropped"])
"""
    assert finished(train(script, daemon.home)).strip() == "0"
    is_whole(daemon.home, "notebook", 100)
    assert exptrack("verify", "notebook", "--home", str(daemon.home)).returncode == 0


# --- many -----------------------------------------------------------------------------------------


def test_threads_of_one_run_and_several_runs_of_one_process(daemon: Daemon) -> None:
    script = """
runs = [xt.init("many", run_id=f"run{n}", autostart=False) for n in range(3)]
def work(number):
    for step in range(2_000):
        for run in runs:
            run.log({f"thread/{number}": 1.0}, step=step)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sum("exptrack" in thread.name for thread in threading.enumerate()) == 1
for run in runs:
    run.finish(timeout_s=30)
"""
    finished(train(script, daemon.home))
    for run in range(3):
        for number in range(4):
            is_whole(daemon.home, f"run{run}", 2_000, f"thread/{number}")


def test_hundreds_of_runs_one_after_another_leave_a_process_as_it_was(daemon: Daemon) -> None:
    script = """
import resource
def state():
    gc.collect()
    rss = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), threading.active_count(), rss
began = time.monotonic()
for number in range(1_000):
    run = xt.init("many", run_id=f"r{number:04d}", autostart=False)
    run.log({"loss": 1.0}, step=0)
    run.log({"loss": 0.5}, step=1)
    run.finish(timeout_s=20)
    if number == 100:
        before = state()
    if number >= 300 and time.monotonic() - began > 20:
        break
after = state()
print(json.dumps([before, after, number + 1]))
"""
    before, after, count = json.loads(finished(train(script, daemon.home), 110))
    assert after[0] <= before[0] + 2
    assert after[1] == before[1] == 1
    assert after[2] - before[2] < 8 * 1024 * 1024
    assert count > 300
    nothing_left(daemon.home)
    for number in range(0, count, 97):
        assert steps_of(daemon.home, f"r{number:04d}", "loss") == [0, 1]
    assert len(list((daemon.home / "runs").iterdir())) == count


def test_ranks_of_one_job_are_one_run(daemon: Daemon) -> None:
    script = """
run = xt.init("ddp", autostart=False)
for step in range(500):
    run.log({f"rank{os.environ['RANK']}": 1.0}, step=step)
run.finish(timeout_s=20)
"""
    environ = {"EXPTRACK_RUN_ID": "job", "WORLD_SIZE": "3"}
    ranks = [train(script, daemon.home, RANK=str(rank), **environ) for rank in range(3)]
    for process in ranks:
        finished(process)
    for rank in range(3):
        is_whole(daemon.home, "job", 500, f"rank{rank}")
    assert len(list((daemon.home / "runs").iterdir())) == 1


def test_resuming_goes_on_with_a_run_and_refuses_what_is_not_meant(daemon: Daemon) -> None:
    script = """
run = xt.init("again", run_id="again", resume=sys.argv[1], autostart=False)
for step in range(int(sys.argv[2]), int(sys.argv[3])):
    run.log({"loss": 1.0}, step=step)
run.finish(timeout_s=20)
"""
    refused = train(script, daemon.home, "must", "0", "10")
    assert "RunNotFound" in refused.communicate(timeout=30)[1]
    finished(train(script, daemon.home, "never", "0", "10"))
    refused = train(script, daemon.home, "never", "0", "10")
    assert "Misuse" in refused.communicate(timeout=30)[1]
    finished(train(script, daemon.home, "allow", "10", "20"))
    finished(train(script, daemon.home, "must", "20", "30"))
    is_whole(daemon.home, "again", 30)


@pytest.mark.parametrize("mode", ["disabled", "offline"])
def test_modes_from_the_environment_start_nothing(home: Path, mode: str) -> None:
    script = """
run = xt.init("modes", run_id="modes")
for step in range(100):
    run.log({"loss": 1.0}, step=step)
run.finish()
print(threading.active_count())
"""
    assert finished(train(script, home, EXPTRACK_MODE=mode)).strip() == "1"
    assert supervisor.status(home)["running"] is False
    assert not (home / "daemon.log").exists()
    if mode == "offline":
        assert exptrack("recover", "--home", str(home)).returncode == 0
        assert steps_of(home, "modes", "loss") == list(range(100))
    else:
        assert list(home.iterdir()) == []


# --- autostart ------------------------------------------------------------------------------------


@pytest.fixture
def autostarted(home: Path) -> Iterator[Path]:
    """A home whose daemon, if trainers start one, is stopped afterwards."""
    yield home
    supervisor.stop(home)


def daemons_of(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "exptrack_daemon.supervisor" in (process.info["cmdline"] or [])
        and str(home) in process.info["cmdline"]
    ]


STARTS = """
run = xt.init("start", run_id=sys.argv[1])
for step in range(200):
    run.log({"loss": 1.0}, step=step)
run.finish(timeout_s=30)
"""


def test_eight_processes_at_once_on_a_fresh_home_start_one_daemon(autostarted: Path) -> None:
    trainers = [train(STARTS, autostarted, f"rank{number}") for number in range(8)]
    for process in trainers:
        finished(process)
    assert len(daemons_of(autostarted)) == 1
    for number in range(8):
        is_whole(autostarted, f"rank{number}", 200)
        has_status(autostarted, f"rank{number}", "finished")
    nothing_left(autostarted)


def test_a_short_run_waits_for_the_daemon_it_started(autostarted: Path) -> None:
    finished(train(STARTS, autostarted, "short"))
    assert steps_of(autostarted, "short", "loss") == list(range(200))


def test_trainers_killed_by_their_group_do_not_take_the_daemon_along(autostarted: Path) -> None:
    script = STARTS.replace(
        "run.finish(timeout_s=30)", "print('ready', flush=True); time.sleep(60)"
    )
    code = "import os, sys, time, json\nimport exptrack_agent as xt\n" + script
    process = subprocess.Popen(
        [sys.executable, "-c", code, "grouped"],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "EXPTRACK_HOME": str(autostarted)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    wait_until(lambda: supervisor.status(autostarted).get("responding", True), 20)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
    process.wait(10)
    process.stdout.close()
    time.sleep(0.5)
    assert len(daemons_of(autostarted)) == 1
    is_whole(autostarted, "grouped", 200)
    has_status(autostarted, "grouped", "crashed")
