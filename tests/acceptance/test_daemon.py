"""The whole daemon with real processes: starts once, survives its workers, stops in order, leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from exptrack_daemon import supervisor
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Rows
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.replay import Replay
from tests.support.desks import read_back
from tests.support.plugins import install
from tests.support.processes import Daemon, finished, trainer, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

LOG = """
run = xt.init("p", name=sys.argv[1], run_id=sys.argv[1], autostart=False, sinks=tuple(sys.argv[3:]) or None)
for step in range(int(sys.argv[2])):
    run.log({"loss": step}, step=step)
run.finish(timeout_s=20)
"""

WATCHED = """
run = xt.init("p", name="w", run_id="w", autostart=False)
run.log({"a": 1})
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    sum(range(10000))
run.finish(timeout_s=10)
"""


def log_rows(home, run, rows, *sinks, **environ):
    finished(trainer(LOG, home, run, str(rows), *sinks, **environ))


def sink_of(daemon, name):
    return next((sink for sink in daemon.status()["sinks"] if sink["name"] == name), None)


def command(home, *more):
    return [sys.executable, "-m", "exptrack_daemon.supervisor", "--home", str(home), *more]


def start_badly(home, **environ):
    """Start a daemon that has to refuse; returns its exit code and what it said."""
    done = subprocess.run(
        command(home),
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environ},
        check=False,
    )
    return done.returncode, done.stderr


def test_a_second_daemon_says_why_it_ends_and_does_not_disturb_the_first(daemon):
    code, said = start_badly(daemon.home)
    assert code == 3
    assert said.count("\n") == 1
    assert "a daemon of" in said
    log_rows(daemon.home, "r", 50)
    assert daemon.is_up()
    assert set(daemon.pids()) == {
        *("supervisor", "intake", "sampler"),
        *("catalog", "tensorboard", "store"),
    }


def test_of_eight_concurrent_starts_one_wins_and_all_are_told_who(home):
    code = "import sys, pathlib; from exptrack_daemon import supervisor\n"
    code += "print(supervisor.start_detached(pathlib.Path(sys.argv[1]), 60)['pid'])"
    starts = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    try:
        told = {start.communicate(timeout=60)[0].strip() for start in starts}
        assert len(told - {""}) == 1
        assert str(supervisor.status(home)["pid"]) in told
    finally:
        assert supervisor.stop(home)
    assert not supervisor.stop(home)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_everything_delivered(home, number):
    daemon = Daemon(home).start()
    try:
        process = trainer(
            LOG.replace("run.finish(timeout_s=20)", "run.flush(20)"), home, "r", "5000"
        )
        finished(process)
        pids = daemon.pids().values()
        daemon.process.send_signal(number)
        assert daemon.process.wait(40) == 0
    finally:
        daemon.end()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not Home(home).beacon.exists()
    assert supervisor.status(home)["running"] is False
    for sink in ("catalog", "tensorboard"):
        assert json.loads(Home(home).cursor("r", sink).read_bytes())["rows"] == 5000
    assert "is killed" not in daemon.log()


def test_a_worker_that_dies_is_replaced_and_one_that_hangs_is_killed_with_its_helpers(
    home, tmp_path
):
    (home / "daemon.toml").write_text("[delivery]\nhung_after_s = 5\n")
    path = install(tmp_path)
    daemon = Daemon(home, PYTHONPATH=path).start()
    try:
        log_rows(home, "one", 20, "obedient", PYTHONPATH=path)
        wait_until((home / "taken").exists, 20, "a sink that a run asks for is started")
        first = daemon.pids()["obedient"]
        os.kill(first, signal.SIGKILL)
        second = wait_until(lambda: daemon.pids().get("obedient") not in (None, first), 20)
        assert second
        (home / "obey").write_text("hang")
        log_rows(home, "two", 20, "obedient", PYTHONPATH=path)
        wait_until((home / "helper").exists, 20)
        hung, helper = daemon.pids()["obedient"], int((home / "helper").read_text())
        (home / "obey").unlink()
        wait_until(lambda: not psutil.pid_exists(hung), 20, "the hung worker is killed")
        wait_until(lambda: not psutil.pid_exists(helper), 10, "and its helper")
        wait_until(lambda: '["two"' in (home / "taken").read_text(), 20, "another goes on")
        assert sink_of(daemon, "tensorboard")["lag_rows"] == 0
    finally:
        daemon.end()


def test_a_sink_that_blocks_for_less_than_that_is_left_to_it_and_holds_up_nobody(home, tmp_path):
    (home / "daemon.toml").write_text("[delivery]\nhung_after_s = 10\n")
    path = install(tmp_path)
    daemon = Daemon(home, PYTHONPATH=path).start()
    try:
        (home / "obey").write_text("block")
        log_rows(home, "one", 20, "obedient", "tensorboard", PYTHONPATH=path)
        wait_until(lambda: daemon.pids().get("obedient"), 20)
        pid = daemon.pids()["obedient"]
        time.sleep(3)
        assert read_back(home, "one").steps[:20] == list(range(20))
        (home / "obey").unlink()
        wait_until((home / "taken").exists, 20)
        assert daemon.pids()["obedient"] == pid
    finally:
        daemon.end()


def test_a_sink_that_runs_asked_for_is_served_by_the_next_daemon_and_a_wrong_one_is_shown(
    home, tmp_path
):
    path = install(tmp_path)
    daemon = Daemon(home, PYTHONPATH=path).start()
    try:
        log_rows(home, "r", 20, "obedient", "lacking", "nosuch", PYTHONPATH=path)
        shown = wait_until(lambda: sink_of(daemon, "nosuch"), 20)
        assert shown["state"] == "unknown"
        assert "there is no sink 'nosuch'" in shown["reason"]
        wait_until(lambda: (sink_of(daemon, "lacking") or {}).get("state") == "broken", 20)
        assert "exptrack[lacking]" in sink_of(daemon, "lacking")["reason"]
        wait_until((home / "taken").exists, 20)
    finally:
        daemon.end()
    assert daemon.log().count("there is no sink 'nosuch'") == 1
    again = Daemon(home, PYTHONPATH=path).start()
    try:
        wait_until(lambda: again.pids().get("obedient"), 20)
        assert sink_of(again, "nosuch") is None
    finally:
        again.end()


def test_after_a_kill_of_everything_the_next_start_is_clean(home):
    daemon = Daemon(home).start()
    log_rows(home, "r", 100)
    daemon.kill_all()
    assert Home(home).beacon.exists()
    began = time.monotonic()
    assert supervisor.status(home)["running"] is False
    assert time.monotonic() - began < 1, "a stale daemon.json costs no wait"
    again = Daemon(home).start()
    try:
        log_rows(home, "s", 100)
        assert read_back(home, "s").steps[:100] == list(range(100))
    finally:
        again.end()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[jurnal]\n", "unknown jurnal"),
        ("[sampler]\nevery = 2\n", "unknown sampler.every"),
        ("[sampler]\nevery_s = 'two'\n", "Expected `float`"),
        ("not toml", "not valid TOML"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line_and_code_5(home, text, says):
    (home / "daemon.toml").write_text(text)
    code, said = start_badly(home)
    assert code == 5
    assert said.count("\n") == 1
    assert says in said
    assert str(home / "daemon.toml") in said


def test_a_home_that_cannot_be_used_ends_the_start_with_one_line_and_code_5(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "file").write_text("")
    (home / "daemon.lock").mkdir()
    for place, says in (
        (tmp_path / "link", "link is not followed"),
        (tmp_path / "file", "cannot make"),
        (Path("/proc/nowhere"), "cannot make"),
        (home, "cannot be opened"),
    ):
        code, said = start_badly(place)
        assert (code, said.count("\n")) == (5, 1), said
        assert says in said


def test_a_runtime_folder_that_is_not_ours_is_refused(home, tmp_path):
    (tmp_path / "exptrack").symlink_to(home)
    code, said = start_badly(home, XDG_RUNTIME_DIR=str(tmp_path))
    assert code == 5
    assert "link is not followed" in said
    long = tmp_path / ("x" * 90)
    long.mkdir()
    code, said = start_badly(home, XDG_RUNTIME_DIR=str(long))
    assert code == 5
    assert "set XDG_RUNTIME_DIR shorter" in said


def test_everything_that_a_run_leaves_is_the_users_alone_and_a_long_home_works(tmp_path):
    home = (tmp_path / ("long" * 40) / "home").resolve()
    home.mkdir(parents=True, mode=0o700)
    old = os.umask(0)
    try:
        daemon = Daemon(home).start()
        try:
            log_rows(home, "r", 200)
            finished(
                trainer(LOG.replace("run.finish(timeout_s=20)", "os._exit(0)"), home, "c", "50")
            )
            wait_until(lambda: read_back(home, "c").closes == ["crashed"], 20)
            assert Home(home).runtime.stat().st_mode & 0o777 == 0o700
            for socket in Home(home).runtime.iterdir():
                assert socket.stat().st_mode & 0o777 == 0o600
        finally:
            daemon.end()
    finally:
        os.umask(old)
    log = home / "daemon.log"  # made by the test
    for path in home.rglob("*"):
        assert path == log or path.lstat().st_mode & 0o077 == 0, path


def test_it_ends_by_itself_when_idle(home):
    code = "import sys, pathlib; from exptrack_daemon import supervisor\n"
    code += "sys.exit(supervisor.run_daemon(pathlib.Path(sys.argv[1]), idle_exit_s=1.5))"
    process = subprocess.Popen([sys.executable, "-c", code, str(home)], stderr=subprocess.PIPE)
    wait_until(Home(home).beacon.exists, 20)
    log_rows(home, "r", 10)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 0
    assert b"Nothing to do" in said
    assert read_back(home, "r").closes[0] == "finished"


def test_a_live_run_is_watched_its_samples_end_with_it_and_they_cost_little(daemon):
    process = trainer(WATCHED, daemon.home, "7")
    wait_until(lambda: daemon.status()["sampler"].get("samples"), 20)
    before = _cpu(daemon)
    began = time.monotonic()
    finished(process)
    used = 100 * (_cpu(daemon) - before) / (time.monotonic() - began)
    told = wait_until(lambda: _ended(daemon.home), 20)
    rows = _system_rows(daemon.home)
    assert len(rows) >= 3
    assert rows[-1]["system/process/rank_0/cpu_percent"] > 20
    assert rows[-1]["system/process/rank_0/memory_rss_bytes"] > 1 << 20
    assert 0 <= rows[-1]["system/memory_percent"] <= 100
    assert told.replay.has_ended
    assert used < 10, f"all the daemon's processes together took {used:.1f} % of a core"


def _ended(home):
    told = read_back(home, "w")
    return (
        told if len(told.closes) == 2 and told.replay.closed == set(told.replay.streams) else None
    )


def _system_rows(home):
    replay, rows = Replay("w"), []
    for reading in JournalReader(OsFiles(), Home(home).journal("w"), "w").read_all():
        for found in reading.frames:
            entry = replay.entries(found)
            if isinstance(entry, Rows) and entry.stream.role == "sampler":
                rows += [row.values for row in entry.rows]
    return rows


def _cpu(daemon):
    return sum(process["cpu_s"] or 0 for process in daemon.status()["processes"])


def test_recovery_without_a_daemon_waits_for_an_intake_that_is_still_ending(daemon):
    intake = daemon.pids()["intake"]
    os.kill(intake, signal.SIGSTOP)
    daemon.process.kill()
    daemon.process.wait(10)
    code = "import sys, pathlib; from exptrack_daemon import supervisor\n"
    code += "print(supervisor.recover(pathlib.Path(sys.argv[1])))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(daemon.home)], stdout=subprocess.PIPE
    )
    time.sleep(1.5)
    assert process.poll() is None, "two writers of one journal"
    os.kill(intake, signal.SIGCONT)
    out, _ = process.communicate(timeout=30)
    assert b"'streams': 0" in out
