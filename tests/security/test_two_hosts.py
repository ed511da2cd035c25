"""Two network namespaces as two hosts: rows logged while the cable is cut arrive afterwards, exactly once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.keys import make_keys, save_allowed
from tests.support.desks import read_back
from tests.support.processes import wait_until
from tests.support.readback import steps_of

ENDPOINT = "tcp://10.203.77.1:5731"
ROWS = 300
SCRIPT = f"""
run = xt.init("far", run_id="far")
for step in range({ROWS}):
    run.log({{"loss": 1.0}}, step=step)
    if step == 99:
        assert run.flush(timeout_s=20)
        print("cut", flush=True)
        sys.stdin.readline()
    time.sleep(0.005)
assert not run.flush(timeout_s=0.2)
time.sleep(3.5)
assert run.stats()["spooled"] > 0, run.stats()
print("mend", flush=True)
sys.stdin.readline()
assert run.flush(timeout_s=40), run.stats()
run.finish(timeout_s=20)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Names of two namespaces joined by a cable, whose near end is called `cable`."""
    near, far = f"xt{os.getpid()}a", f"xt{os.getpid()}b"
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and `ip`")
    try:
        ip("netns", "add", near)
        ip("netns", "add", far)
        ip(
            "link",
            "add",
            "cable",
            "netns",
            near,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            far,
        )
        for name, address in ((near, "10.203.77.1/24"), (far, "10.203.77.2/24")):
            ip("-n", name, "address", "add", address, "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        _remove(near, far)
        pytest.skip(f"no network namespaces here: {error.stderr.decode(errors='replace').strip()}")
    yield near, far
    _remove(near, far)


def _remove(*names: str) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_a_cut_cable_costs_no_row_and_doubles_none(hosts, home: Path, tmp_path: Path) -> None:
    near, far = hosts
    server, client = Home(home), Home(tmp_path / "client")
    own, theirs = make_keys(OsFiles(), server), make_keys(OsFiles(), client)
    save_allowed(OsFiles(), server, {"client": theirs.public})
    server.settings.write_text(f'[listen]\nendpoint = "{ENDPOINT}"\n')
    python = ["ip", "netns", "exec"]
    with (home / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                *python,
                near,
                sys.executable,
                "-m",
                "exptrack_daemon.supervisor",
                "--home",
                str(home),
            ],
            stdout=log,
            stderr=log,
        )
    code = "import sys, time\nimport exptrack_agent as xt\n" + SCRIPT
    told = {"EXPTRACK_HOME": str(client.path), "EXPTRACK_ENDPOINT": ENDPOINT}
    try:
        wait_until(server.beacon.exists, 30, (home / "daemon.log").read_text())
        trainer = subprocess.Popen(
            [*python, far, sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **told, "EXPTRACK_SERVER_KEY": own.public},
        )
        with trainer:
            assert trainer.stdin is not None
            assert trainer.stdout is not None
            for word, state in (("cut", "down"), ("mend", "up")):
                assert trainer.stdout.readline().strip() == word
                ip("-n", near, "link", "set", "cable", state)
                trainer.stdin.write("go\n")
                trainer.stdin.flush()
            assert trainer.wait(90) == 0
        told_by = read_back(home, "far")
        assert steps_of(home, "far", "loss") == list(range(ROWS))
        assert told_by.losses == []
        assert "finished" in told_by.closes
        assert len(told_by.sequences) == len(set(told_by.sequences))
    finally:
        daemon.terminate()
        daemon.wait(40)
