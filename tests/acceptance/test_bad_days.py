"""Bad days: disks, shared memory, daemons and sockets that are not as they should be. Training goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exptrack_agent.settings import ring_root
from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, trainer, wait_until
from tests.support.readback import exptrack, steps_of

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

LOG = """
run = xt.init("days", run_id=sys.argv[1], autostart=False)
for step in range(int(sys.argv[2])):
    run.log({"loss": step / 2}, step=step)
began = time.monotonic()
run.finish(timeout_s=10)
print(json.dumps({"finish_s": time.monotonic() - began, **run.stats()}))
"""
PACED = """
run = xt.init("days", run_id=sys.argv[1], autostart=False)
end = time.monotonic() + float(sys.argv[2])
step, worst = 0, 0.0
print("ready", flush=True)
while time.monotonic() < end:
    began = time.perf_counter()
    run.log({"loss": step / 2}, step=step)
    worst = max(worst, time.perf_counter() - began)
    step += 1
    time.sleep(0.0005)
run.finish(timeout_s=20)
print(json.dumps({"steps": step, "worst": worst, **run.stats()}))
"""


def train(script: str, home: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return trainer("import json\n" + script, home, *arguments, **environ)


def ended(process: subprocess.Popen[str]) -> tuple[dict[str, object], list[str]]:
    """What a trainer printed last, and what it said to its user."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1]), [line for line in errors.splitlines() if line]


def recovered(home: Path, run: str, steps: int) -> None:
    """Recover without a daemon; every step must be there once, and the accounts in order."""
    done = exptrack("recover", "--home", str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps_of(home, run, "loss") == list(range(steps))
    verified = exptrack("verify", run, "--home", str(home))
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting takes root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


# --- disks ----------------------------------------------------------------------------------------


def test_a_home_that_is_no_folder_costs_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    stats, said = ended(train(LOG, home, "nohome", "2000"))
    try:
        assert stats["finish_s"] < 2
        assert stats["dropped"] == 0
        assert len([line for line in said if line.startswith("exptrack: ")]) == 1
        assert "cannot be written" in said[0]
        assert list(ring_root(home).glob("*/*.seg"))
    finally:
        shutil.rmtree(ring_root(home))


def test_a_read_only_home_costs_one_message_and_a_later_recovery_finds_every_row(
    small_disk: Path,
) -> None:
    home = small_disk / "home"
    home.mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    stats, said = ended(train(LOG, home, "readonly", "2000"))
    assert stats["dropped"] == 0
    assert len(said) == 1
    assert "Read-only" in said[0] or "cannot be written" in said[0]

    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    recovered(home, "readonly", 2000)


def test_a_full_home_without_a_daemon_keeps_rows_in_memory_and_says_so(small_disk: Path) -> None:
    home = small_disk / "home"
    home.mkdir(mode=0o700)
    (small_disk / "ballast").write_bytes(bytes(24 * 1024 * 1024 - 256 * 1024))
    stats, said = ended(train(PACED, home, "full", "3"))
    assert stats["dropped"] == 0
    assert stats["worst"] < 0.1
    assert len(said) == 1
    assert "spool" in said[0]

    (small_disk / "ballast").unlink()
    recovered(home, "full", int(str(stats["steps"])))


def test_a_limit_on_file_sizes_is_like_a_full_disk(home: Path) -> None:
    limited = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
"""
    stats, said = ended(train(limited + LOG, home, "limited", "20000"))
    assert stats["dropped"] == 0
    assert stats["rows"] == 20_000
    assert 1 <= len(said) <= 4
    # 2 MiB of shared memory are beyond this limit too: what could not be spooled ended with the process
    exptrack("recover", "--home", str(home))


def test_memory_stays_bounded_when_nothing_takes_rows_and_the_ledger_says_what_is_lost(
    home: Path,
) -> None:
    script = """
from exptrack_agent import settings, start
start.BoxLimits = lambda: settings.BoxLimits(spool_bytes=1, burst_segments=4)
run = xt.init("days", run_id="bounded", autostart=False)
wide = {f"m{number}": 1.0 for number in range(1_000)}
for step in range(3_000):
    run.log(wide, step=step)
    run.log({"loss": 1.0}, step=step)
stats = run.stats()
run.finish()
print(json.dumps({**stats, "lost": run.dropped}))
"""
    stats, said = ended(train(script, home, "x"))
    assert stats["bytes"] <= 16 * 1024 * 1024
    assert stats["rows"] + stats["dropped"] == 6_000
    assert any("rows are being dropped" in line for line in said)

    assert exptrack("recover", "--home", str(home)).returncode == 0
    verified = exptrack("verify", "bounded", "--home", str(home))
    assert f"{stats['lost']} lost" in verified.stdout.replace(",", "")


# --- shared memory --------------------------------------------------------------------------------

IN_NAMESPACE = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]


def in_shm(options: str, process: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run a trainer whose /dev/shm is another."""
    command = " ".join(f"'{part}'" for part in process)
    mounted = f"mount -t tmpfs -o {options} tmpfs /dev/shm && exec {command}"
    done = subprocess.run(
        [*IN_NAMESPACE, mounted],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "EXPTRACK_HOME": str(home)},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"mounting takes root: {done.stderr[:100]}")
    return done


@pytest.mark.parametrize(
    ("options", "words"), [("ro", "Read-only"), ("size=1m", "No space"), ("size=3m", "No space")]
)
def test_shared_memory_that_is_unusable_or_small_is_replaced_and_said_once(
    home: Path, options: str, words: str
) -> None:
    import sys

    script = "import os, sys, time, json\nimport exptrack_agent as xt\n" + LOG
    done = in_shm(options, [sys.executable, "-c", script, "noshm", "150000"], home)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line]
    assert sum("shared memory" in line for line in said) == 1, said
    assert words in done.stderr
    assert json.loads(done.stdout)["dropped"] == 0
    recovered(home, "noshm", 150_000)


def test_shared_memory_that_vanishes_under_a_living_trainer_costs_nothing(daemon: Daemon) -> None:
    """As `RemoveIPC` of systemd does it when the user logs out."""
    process = train(PACED, daemon.home, "vanished", "6")
    assert process.stdout.readline() == "ready\n"
    wait_until((daemon.home / "runs" / "vanished").exists, 20)
    for folder in ring_root(daemon.home).iterdir():
        shutil.rmtree(folder)
    time.sleep(3)  # the daemon looks for dead trainers every second or two
    assert open_home(daemon.home).find("vanished").status.name == "running"
    stats, _ = ended(process)
    assert stats["dropped"] == 0
    assert steps_of(daemon.home, "vanished", "loss") == list(range(int(str(stats["steps"]))))


def test_a_spool_that_vanishes_is_made_again(home: Path) -> None:
    process = train(PACED, home, "nospool", "5", EXPTRACK_MODE="offline")
    for _ in range(2):
        spool = wait_until(lambda: list((home / "spool").glob("*/*.seg")), 20)[0].parent
        shutil.rmtree(spool)
    stats, _ = ended(process)
    recovered(home, "nospool", int(str(stats["steps"])))


# --- daemons --------------------------------------------------------------------------------------


def test_without_the_daemons_package_rows_wait_on_disk(home: Path) -> None:
    hidden = """
import importlib.abc
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("msgspec", "psutil", "exptrack_daemon"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""
    script = LOG.replace("autostart=False", "autostart=True")
    stats, said = ended(train(hidden + script, home, "alone", "3000"))
    assert stats["finish_s"] < 1
    assert len(said) == 1
    assert "pip install 'exptrack[daemon]'" in said[0]
    recovered(home, "alone", 3000)


@pytest.mark.parametrize(
    ("beacon", "word"),
    [
        ('{"format": 99, "frames": "ipc:///tmp/a", "control": "ipc:///tmp/b"}', "speaks format 99"),
        ('{"frames": "ipc:///tmp/a", "control": "ipc:///tmp/b"}', "speaks format None"),
        ('{"format": 1, "frames": "ipc:///tmp/nobody", "control": "ipc:///tmp/nobody2"}', ""),
        ('{"format": 1, "frames": "tcp://999.1.1.1:x", "control": "tcp://:"}', "paused"),
        (
            '{"format": 1, "frames": "ipc:///' + "x" * 300 + '", "control": "ipc:///tmp/b"}',
            "paused",
        ),
        ('{"format": 1, "frames": 5, "control": []}', ""),
        ("garbage\x00", ""),
        ("", ""),
    ],
    ids=["newer", "without", "nobody", "no address", "too long", "no texts", "garbage", "empty"],
)
def test_a_beacon_of_another_version_or_of_nobody_costs_nothing(
    home: Path, beacon: str, word: str
) -> None:
    (home / "daemon.json").write_text(beacon)
    stats, said = ended(train(PACED, home, "beacon", "2.5"))
    assert stats["dropped"] == 0
    assert len(said) <= 1
    assert word in "".join(said)
    (home / "daemon.json").unlink()
    recovered(home, "beacon", int(str(stats["steps"])))


def test_a_daemon_that_is_killed_frozen_and_started_again_while_logging(home: Path) -> None:
    daemon = Daemon(home).start()
    process = train(PACED, home, "hard", "7")
    try:
        time.sleep(1)
        daemon.kill_all()
        time.sleep(1)
        daemon = Daemon(home).start()
        intake = daemon.pids()["intake"]
        os.kill(intake, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(intake, signal.SIGCONT)
        stats, _ = ended(process)
    finally:
        daemon.end()
    assert (stats["dropped"], stats["pending"]) == (0, 0)
    assert stats["worst"] < 0.1
    assert steps_of(home, "hard", "loss") == list(range(int(str(stats["steps"]))))
    assert exptrack("verify", "hard", "--home", str(home)).returncode == 0
    assert not list((home / "spool").iterdir())


def test_a_daemon_that_is_gone_at_the_end_does_not_hold_up_the_end(daemon: Daemon) -> None:
    process = train(PACED, daemon.home, "gone", "2")
    time.sleep(1)
    daemon.kill_all()
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    steps = json.loads(out.splitlines()[-1])["steps"]
    recovered(daemon.home, "gone", steps)


def test_a_frozen_daemon_holds_up_the_end_no_longer_than_asked(daemon: Daemon) -> None:
    pids = [*daemon.pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        script = LOG.replace("timeout_s=10", "timeout_s=1")
        stats, _ = ended(train(script, daemon.home, "frozen", "1000"))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert 0.9 < float(str(stats["finish_s"])) < 3
    wait_until((daemon.home / "runs" / "frozen").exists, 30)
    wait_until(lambda: steps_of(daemon.home, "frozen", "loss") == list(range(1000)), 30)


def test_sockets_that_somebody_else_holds_do_not_matter_to_training(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        path = home / "s"
        held.bind(str(path))
        held.listen()
        endpoint = f"ipc://{path}"
        beacon = {"format": 1, "frames": endpoint, "control": endpoint}
        (home / "daemon.json").write_text(json.dumps(beacon))
        stats, _ = ended(train(PACED, home, "held", "2.5"))
    assert stats["dropped"] == 0
    (home / "daemon.json").unlink()
    recovered(home, "held", int(str(stats["steps"])))


def test_finish_without_any_daemon_returns_at_once_and_loses_nothing(home: Path) -> None:
    stats, said = ended(train(LOG, home, "nobody", "50000"))
    assert stats["finish_s"] < 1
    assert said == []
    recovered(home, "nobody", 50_000)


def test_a_home_removed_while_training_goes_on_is_no_end(home: Path) -> None:
    process = train(PACED, home, "removed", "3", EXPTRACK_MODE="offline")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    shutil.rmtree(home)
    stats, _ = ended(process)
    assert stats["dropped"] == 0
    recovered(home, "removed", int(str(stats["steps"])))


def test_no_descriptors_left_is_no_end(home: Path) -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
run = xt.init("days", run_id="nofiles", autostart=False)
for step in range(1000):
    run.log({"loss": 1.0}, step=step)
for descriptor in held:
    os.close(descriptor)
run.finish()
print(json.dumps(run.stats()))
"""
    _, said = ended(train(script, home, "x"))
    assert "is not recorded" in "".join(said)


def test_a_daemon_whose_home_is_deleted_ends(home: Path) -> None:
    daemon = Daemon(home).start()
    try:
        shutil.rmtree(home)
        assert daemon.process is not None
        assert daemon.process.wait(45) == 0
    finally:
        daemon.end()
