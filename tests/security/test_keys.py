"""TCP only with keys: who is known gets in and nobody else; a cut cable costs no row and doubles none."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from exptrack_agent.errors import Misuse
from exptrack_agent.settings import remote_of
from exptrack_daemon.config import config_from
from exptrack_daemon.errors import ConfigInvalid, HomeUnusable
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.keys import KeyPair, allowed, is_name, make_keys, own_keys, save_allowed
from tests.support.desks import opened
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack, steps_of

SCRIPT = """
run = xt.init("far", run_id="far")
for step in range(200):
    run.log({"loss": 1.0}, step=step)
print(run.flush(timeout_s=20), flush=True)
run.finish(timeout_s=20)
"""


def free_ports() -> int:
    """A port that is free, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return int(port)


@pytest.fixture
def client(tmp_path: Path) -> KeyPair:
    return make_keys(OsFiles(), Home(tmp_path / "client"))


@pytest.fixture
def far(home: Path, client: KeyPair) -> Iterator[tuple[Daemon, str, str]]:
    """A daemon that listens on TCP and lets `client` in: it, its endpoint, its public key."""
    endpoint = f"tcp://127.0.0.1:{free_ports()}"
    own = make_keys(OsFiles(), Home(home))
    save_allowed(OsFiles(), Home(home), {"client": client.public})
    (home / "daemon.toml").write_text(f'[listen]\nendpoint = "{endpoint}"\n')
    daemon = Daemon(home).start()
    yield daemon, endpoint, own.public
    daemon.end()


def is_heard(endpoint: str, server: str | None, pair: KeyPair | None, frame: bytes) -> bool:
    """Whether a handshake succeeds; then the frame is sent."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 500)
        if pair is not None and server is not None:
            push.curve_serverkey = server.encode()
            push.curve_publickey, push.curve_secretkey = pair.public.encode(), pair.secret.encode()
        push.setsockopt(zmq.IMMEDIATE, 1)
        push.setsockopt(zmq.SNDTIMEO, 1_500)
        push.connect(endpoint)
        try:
            push.send(frame)
        except zmq.Again:
            return False
        return True


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_only_an_allowed_key_gets_in(far, client: KeyPair, tmp_path: Path) -> None:
    daemon, endpoint, server = far
    stranger = KeyPair(*(key.decode() for key in zmq.curve_keypair()))
    out = finished(
        trainer(
            SCRIPT, tmp_path / "client", EXPTRACK_ENDPOINT=endpoint, EXPTRACK_SERVER_KEY=server
        ),
        90,
    )
    assert out.strip() == "True"
    assert steps_of(daemon.home, "far", "loss") == list(range(200))
    frame = opened("intruder")
    assert not is_heard(endpoint, None, None, frame)
    assert not is_heard(endpoint, server, stranger, frame)
    assert not is_heard(endpoint, stranger.public, client, frame)
    assert not (daemon.home / "runs" / "intruder").exists()
    wait_until(lambda: daemon.status()["intake"]["turned_away"] >= 1, 20)
    assert is_heard(endpoint, server, client, frame)
    wait_until((daemon.home / "runs" / "intruder").exists, 20)
    save_allowed(OsFiles(), Home(daemon.home), {})
    assert not is_heard(endpoint, server, client, opened("revoked"))
    secret = own_keys(Home(daemon.home)).secret  # type: ignore[union-attr]
    assert secret not in daemon.log()
    assert client.secret.encode() not in b"".join(
        path.read_bytes() for path in daemon.home.rglob("*") if path.is_file()
    )


@pytest.mark.acceptance
def test_without_keys_nothing_listens_and_the_reason_is_said(home: Path) -> None:
    (home / "daemon.toml").write_text('[listen]\nendpoint = "tcp://0.0.0.0:5999"\n')
    done = subprocess.run(
        [sys.executable, "-m", "exptrack_daemon.intake", str(home), "boot"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert "has no keys: `exptrack keys new` makes them" in done.stderr


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://*:5555",
        "tcp://host:5555",
        "ipc:///tmp/x",
        "tcp://1.2.3.4",
        "tcp://1.2.3.4:70000",
        "@x",
        "inproc://a",
    ],
)
def test_an_endpoint_that_is_none_stops_the_start(tmp_path, endpoint):
    with pytest.raises(ConfigInvalid, match=r"listen\.endpoint must be"):
        config_from(Home(tmp_path), {"listen": {"endpoint": endpoint}})


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_keys_are_private_whatever_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        pair = make_keys(OsFiles(), Home(tmp_path))
    finally:
        os.umask(old)
    path = tmp_path / "keys" / "key.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert own_keys(Home(tmp_path)) == pair
    assert pair.secret not in repr(pair)
    path.chmod(0o644)
    with pytest.raises(HomeUnusable, match="read by others"):
        own_keys(Home(tmp_path))


def test_a_list_that_is_damaged_lets_nobody_in(tmp_path):
    home = Home(tmp_path)
    save_allowed(OsFiles(), home, {"a": "x" * 40})
    assert allowed(home) == {"a": "x" * 40}
    for text in ("", "[]", '{"a": 5, "b": "short"}', "\xff"):
        (tmp_path / "keys" / "allowed.json").write_text(text)
        assert allowed(home) == {}
    assert not is_name("../a")


def test_the_agent_sends_nothing_without_keys(tmp_path):
    assert remote_of(tmp_path, {}) is None
    told = {"EXPTRACK_ENDPOINT": "tcp://1.2.3.4:5"}
    with pytest.raises(Misuse, match="EXPTRACK_SERVER_KEY"):
        remote_of(tmp_path, told)
    told["EXPTRACK_SERVER_KEY"] = "x" * 40
    with pytest.raises(Misuse, match="exptrack keys new"):
        remote_of(tmp_path, told)
    pair = make_keys(OsFiles(), Home(tmp_path))
    found = remote_of(tmp_path, told)
    assert (found.frames, found.control) == ("tcp://1.2.3.4:5", "tcp://1.2.3.4:6")
    assert pair.secret not in repr(found)
    with pytest.raises(Misuse, match="EXPTRACK_ENDPOINT"):
        remote_of(tmp_path, {**told, "EXPTRACK_ENDPOINT": "ipc://x"})


def test_the_verbs_make_show_allow_and_revoke(home: Path) -> None:
    def keys(*words: str) -> subprocess.CompletedProcess[str]:
        return exptrack("keys", *words, "--home", str(home))

    public = keys("new").stdout.strip()
    assert len(public) == 40
    assert keys("new").returncode == 2
    assert keys("allow", "gpu-7", "nonsense").returncode == 2
    assert keys("allow", "gpu-7", public).returncode == 0
    assert public in keys("list").stdout
    assert "gpu-7" in keys("list", "--json").stdout
    assert keys("revoke", "gpu-8").returncode == 2
    assert keys("revoke", "gpu-7").returncode == 0
    assert "gpu-7" not in keys("list").stdout
