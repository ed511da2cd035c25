"""Talking to a home's daemon, and starting or stopping one, from the command line or a library."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.config import load_config
from exptrack_daemon.delivery.worker import replay_request
from exptrack_daemon.errors import AlreadyRunning, ConfigInvalid, HomeUnusable, RunNotFound
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home, make_private
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.recovery import find_remains, has_remains
from exptrack_daemon.intake.recovery import recover as recover_stream
from exptrack_daemon.live import LiveStreams
from exptrack_daemon.locks import hold_lock, is_locked
from exptrack_daemon.sinks.registry import sink_names
from exptrack_daemon.supervisor.foreground import EXIT_ALREADY_RUNNING
from exptrack_daemon.supervisor.log import MOST_LOG_BYTES

_ANSWER_S = 3.0


def status(home: Path) -> dict[str, Any]:
    """What the daemon of a home is doing; `{"running": False, …}` when there is none."""
    held = is_locked(Home(home).lock)
    answer = _ask(home, {"do": "status"}) if held else None
    if answer is not None:
        return answer
    return {
        "running": held,
        "responding": False,
        "home": str(home),
        "processes": [],
        "sinks": [],
        "intake": {},
    }


def start_detached(home: Path, timeout_s: float = 10) -> dict[str, Any]:
    """Start a daemon in the background and wait until it is up; returns its status.

    Raises:
        AlreadyRunning: there is one.
        HomeUnusable: the home cannot be written, or the daemon did not come up; the message has its log.
        ConfigInvalid: daemon.toml is wrong.
    """
    make_private(home)
    if is_locked(Home(home).lock):
        raise AlreadyRunning(f"a daemon of {home} is running; `exptrack daemon status` shows it")
    load_config(home)
    log = _open_log(Home(home))
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "exptrack_daemon.supervisor", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            cwd="/",
        )
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = _ask(home, {"do": "status"}, wait_s=0.3)
        if answer is not None and _is_up(answer):
            process.returncode = 0  # it is on its own now: no warning that it is not waited for
            return answer
        if process.poll() not in (None, EXIT_ALREADY_RUNNING):  # then another one is about to be up
            break
        zmq.Poller().poll(50)
    raise HomeUnusable(
        f"the daemon did not come up; the end of {Home(home).log}:\n{_log_tail(Home(home))}"
    )


def stop(home: Path, timeout_s: float = 30) -> bool:
    """Stop the daemon and wait for its end; False when none was running.

    Raises:
        HomeUnusable: it did not end in time.
    """
    if not is_locked(Home(home).lock):
        return False
    _ask(home, {"do": "stop"})
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not is_locked(Home(home).lock):
            return True
        zmq.Poller().poll(50)
    raise HomeUnusable(
        f"the daemon of {home} did not end within {timeout_s:.0f} s; see {Home(home).log}"
    )


def request_replay(home: Path, run_id: str, sink: str) -> None:
    """Have a sink rebuilt for a run, from the journal's beginning; now, or when a daemon runs next.

    Raises:
        ConfigInvalid: there is no such sink.
        RunNotFound: the run has no journal.
    """
    if sink not in sink_names():
        raise ConfigInvalid(f"there is no sink {sink!r}; installed are {', '.join(sink_names())}")
    config = load_config(home)
    if not config.home.journal(run_id).is_dir():
        raise RunNotFound(f"run {run_id} has no journal in {home}")
    path = replay_request(config, run_id, sink)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    _ask(home, {"do": "start_sink", "sink": sink})


def recover(home: Path, timeout_s: float = 600) -> dict[str, int]:
    """Bring in what dead trainers left; a running daemon does it, else this process.

    Returns:
        `streams` and `rows` that were brought in (with a running daemon: `streams` that it took).
    """
    make_private(home)
    waiting = len(find_remains(Home(home)))
    if is_locked(Home(home).lock):
        deadline = time.monotonic() + timeout_s
        while find_remains(Home(home)) and time.monotonic() < deadline:
            zmq.Poller().poll(100)
        return {"streams": waiting - len(find_remains(Home(home))), "rows": 0}
    with contextlib.ExitStack() as held:
        lock = hold_lock(Home(home).lock, wait_s=2)
        held.callback(os.close, lock)
        lock = hold_lock(Home(home).intake_lock)  # a killed supervisor's intake may still be ending
        held.callback(os.close, lock)
        return _recover_here(home)


def _recover_here(home: Path) -> dict[str, int]:
    os.umask(0o077)
    config = load_config(home)
    files, clock = OsFiles(), SystemClock()
    live = LiveStreams(files, config.home.live)
    desk = Desk(home=config.home, files=files, clock=clock, config=config.journal, live=live)
    total = {"streams": 0, "rows": 0}
    for remains in find_remains(config.home):
        done = list(recover_stream(desk, remains, lambda: _is_committed(desk)))[-1]
        if desk.disk_trouble:
            raise HomeUnusable(f"{home} cannot be written: {desk.disk_trouble}")
        total["streams"] += done.is_done
        total["rows"] += done.rows
    for stream in live.all():
        if not has_remains(config.home, stream.stream):
            desk.close_crashed(stream.run_id, bytes.fromhex(stream.stream))
    desk.close()
    return total


def _is_committed(desk: Desk) -> bool:
    errors = desk.counters.disk_errors
    desk.commit()
    return desk.counters.disk_errors == errors


def _is_up(answer: dict[str, Any]) -> bool:
    intake = [process for process in answer["processes"] if process["name"] == "intake"]
    return bool(intake) and intake[0]["state"] == "running"


def _ask(home: Path, request: dict[str, Any], wait_s: float = _ANSWER_S) -> dict[str, Any] | None:
    """Ask the supervisor; None when nobody answers."""
    path = Home(home).runtime / "admin.sock"
    beacon = _read_beacon(Home(home))
    endpoint = beacon.get("admin", f"ipc://{path}")
    if not path.exists() and not beacon:
        return None
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    dealer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    try:
        dealer.connect(endpoint)
        dealer.send(json.dumps(request).encode())
        if not dealer.poll(round(wait_s * 1000)):
            return None
        answer = json.loads(dealer.recv())
    except (zmq.ZMQError, ValueError):
        return None
    finally:
        dealer.close(0)
        context.term()
    return answer if isinstance(answer, dict) else None


def _read_beacon(home: Home) -> dict[str, Any]:
    try:
        beacon = json.loads(home.beacon.read_bytes())
    except (OSError, ValueError):
        return {}
    return beacon if isinstance(beacon, dict) else {}


def _open_log(home: Home) -> Any:
    """The log, opened for appending; a large one is put aside first."""
    try:
        if home.log.exists() and home.log.stat().st_size > MOST_LOG_BYTES:
            home.log.replace(home.log.with_suffix(".log.1"))
        descriptor = os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HomeUnusable(f"{home.path} cannot be written: {error.strerror}") from error
    return os.fdopen(descriptor, "ab")


def _log_tail(home: Home) -> str:
    try:
        return "\n".join(home.log.read_text("utf-8", "replace").splitlines()[-8:])
    except OSError:
        return "(no log)"
