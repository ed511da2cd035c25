"""The supervisor: starts intake, sinks and sampler; restarts what dies, kills what hangs, stops in order.

It moves no data. Everything it knows of its workers they told it through their stdout, so `status` costs them
nothing, and a supervisor that dies takes them with it (their stdin ends).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import zmq

from exptrack_daemon.clock import Clock
from exptrack_daemon.config import CATALOG, DaemonConfig
from exptrack_daemon.files import Files, replace_durably
from exptrack_daemon.home import make_runtime
from exptrack_daemon.intake.server import CONTROL, FRAMES
from exptrack_daemon.sinks.registry import sink_names
from exptrack_daemon.sockets import bind_private
from exptrack_daemon.supervisor.asked import AskedSinks
from exptrack_daemon.supervisor.log import rotate_log
from exptrack_daemon.supervisor.worker import Worker, WorkerSpec
from exptrack_proto.limits import FORMAT_VERSION

logger = logging.getLogger(__name__)

ADMIN = "admin.sock"
VERSION = "0.1.0"
_ROUND_MS = 200
_INTAKE_HUNG_AFTER_S = 60.0
_STOP_S = 10.0
_SINKS_STOP_S = 15.0
_TIDY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorOptions:
    """How this start differs from another."""

    idle_exit_s: float | None = None
    """End by itself after so long without a running trainer and with all sinks done; None: never."""


class Supervisor:
    """Runs one home's daemon."""

    def __init__(
        self, config: DaemonConfig, files: Files, clock: Clock, options: SupervisorOptions
    ) -> None:
        self._config = config
        self._files = files
        self._clock = clock
        self._options = options
        self._started_ns = clock.now_ns()
        self._boot = ""
        self._stopping = False
        self._busy_at = clock.monotonic_s()
        home = str(config.home.path)
        self._intake = Worker(
            WorkerSpec("intake", "exptrack_daemon.intake", (), _INTAKE_HUNG_AFTER_S)
        )
        self._sampler = Worker(
            WorkerSpec("sampler", "exptrack_daemon.sampler", (home,), _INTAKE_HUNG_AFTER_S)
        )
        self._sinks: dict[str, Worker] = {}
        self._unknown_sinks: set[str] = set()
        self._said: set[str] = set()
        self._asked = AskedSinks(files, config.home.asked_sinks)
        self._installed = sink_names()
        self._is_beacon_lit = False
        self._tidy_at = float("-inf")
        for name in (CATALOG, *config.default_sinks, *self._asked.all()):
            self._add_sink(name)
        make_runtime(config.home)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._admin = bind_private(self._context, zmq.ROUTER, config.home.runtime / ADMIN)

    def run(self) -> int:
        """Serve until stopped; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        logger.info(
            "Daemon %s of %s begins (pid %d).", VERSION, self._config.home.path, os.getpid()
        )
        try:
            while not self._stopping:
                self._round()
        finally:
            self._stop()
        return 0

    @property
    def _workers(self) -> list[Worker]:
        sampler = [self._sampler] if self._config.sampler.enabled else []
        return [self._intake, *sampler, *self._sinks.values()]

    def _round(self) -> None:
        now = self._clock.monotonic_s()
        if self._intake.pid is None:
            self._renew_intake()  # also while it waits for its next start: no process has this id yet
        for worker in self._workers:
            worker.start(now)
        self._poll()
        now = self._clock.monotonic_s()
        for worker in self._workers:
            worker.listen(now)
            worker.check(now)
        if self._intake.has_reported and not self._is_beacon_lit:
            self._light_beacon()
        for name in self._intake.facts.get("asked_sinks", ()):
            if self._add_sink(name):
                self._asked.add(name)
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY_S
            rotate_log(self._config.home.log, sys.stderr.fileno())
        self._stop_if_homeless()
        self._stop_if_idle(now)

    def _renew_intake(self) -> None:
        """Each intake process has its own boot id, so that trainers know that frames may have been lost."""
        self._is_beacon_lit = False
        self._boot = uuid.uuid4().hex
        arguments = (str(self._config.home.path), self._boot)
        self._intake.spec = WorkerSpec(
            "intake", "exptrack_daemon.intake", arguments, _INTAKE_HUNG_AFTER_S
        )

    def _add_sink(self, name: str) -> bool:
        """Serve a sink from now on; False when it is served already, or nobody offers it."""
        if name in self._sinks or name in self._unknown_sinks:
            return False
        if name not in self._installed:
            self._unknown_sinks.add(name)
            logger.warning("Nothing can be delivered to %s: %s", name, self._unknown(name))
            return False
        arguments = (str(self._config.home.path), name)
        hung_after_s = self._config.delivery.hung_after_s
        self._sinks[name] = Worker(
            WorkerSpec(name, "exptrack_daemon.delivery", arguments, hung_after_s, gives_way=True)
        )
        return True

    def _unknown(self, name: str) -> str:
        return f"there is no sink {name!r}; installed are {', '.join(self._installed)}"

    def _light_beacon(self) -> None:
        """Say where trainers find us; only once the sockets are bound."""
        beacon = {
            "format": FORMAT_VERSION,
            "version": VERSION,
            "boot": self._boot,
            "pid": os.getpid(),
        }
        beacon |= {"started_ns": self._started_ns, **self._endpoints()}
        try:
            replace_durably(self._files, self._config.home.beacon, json.dumps(beacon).encode())
        except (
            OSError
        ) as error:  # a full disk: trainers keep their rows, and find us once there is room
            self._say_once(f"{self._config.home.beacon} cannot be written: {error.strerror}.")
            return
        self._is_beacon_lit = True

    def _endpoints(self) -> dict[str, str]:
        runtime = self._config.home.runtime
        names = {"frames": FRAMES, "control": CONTROL, "admin": ADMIN}
        return {name: f"ipc://{runtime / socket}" for name, socket in names.items()}

    def _poll(self) -> None:
        poller = zmq.Poller()
        poller.register(self._admin, zmq.POLLIN)
        for worker in self._workers:
            if worker.descriptor is not None:
                poller.register(worker.descriptor, zmq.POLLIN)
        if self._admin in dict(poller.poll(_ROUND_MS)):
            self._serve_admin()

    def _stop_if_idle(self, now: float) -> None:
        limit = self._options.idle_exit_s
        taken = self._intake.facts
        is_busy = taken.get("live", 0) or taken.get("recovering", False) or self._is_behind()
        if is_busy or not self._intake.has_reported:
            self._busy_at = now
        if limit is not None and now - self._busy_at > limit:
            logger.info("Nothing to do for %.0f s; the daemon ends.", limit)
            self._stopping = True

    def _stop_if_homeless(self) -> None:
        """A home that was deleted has no daemon: nobody could find it any more, to ask or to stop it."""
        if not self._config.home.lock.exists():
            logger.error("%s was removed; its daemon ends.", self._config.home.path)
            self._stopping = True

    def _is_behind(self) -> bool:
        return any(worker.facts.get("lag_rows", 0) for worker in self._sinks.values())

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            logger.error(message)

    # --- admin ----------------------------------------------------------------------------------

    def _serve_admin(self) -> None:
        parts = self._admin.recv_multipart()
        try:
            request = json.loads(parts[-1])
            answer = self._answer(request if isinstance(request, dict) else {})
        except ValueError:
            answer = {"error": "not JSON"}
        with contextlib.suppress(zmq.ZMQError):  # who asked is gone
            self._admin.send_multipart([*parts[:-1], json.dumps(answer).encode()], zmq.NOBLOCK)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        asked = request.get("do")
        if asked == "status":
            return self.status()
        if asked == "stop":
            self._stopping = True
            return {"ok": True}
        if asked == "start_sink" and request.get("sink") in self._installed:
            if self._add_sink(request["sink"]):
                self._asked.add(request["sink"])
            return {"ok": True}
        return {"error": f"unknown request {asked!r}"}

    def status(self) -> dict[str, Any]:
        """What `exptrack daemon status --json` shows."""
        home = self._config.home.path
        return {
            "running": True,
            "pid": os.getpid(),
            "boot": self._boot,
            "version": VERSION,
            "started_ns": self._started_ns,
            "home": str(home),
            "endpoints": self._endpoints(),
            "processes": [_process_facts("supervisor", os.getpid(), "running", 0)]
            + [_process_facts(w.spec.name, w.pid, w.state, w.restarts) for w in self._workers],
            "sinks": [_sink_facts(name, worker) for name, worker in self._sinks.items()]
            + [_unknown_facts(name, self._unknown(name)) for name in sorted(self._unknown_sinks)],
            "intake": self._intake.facts,
            "sampler": self._sampler.facts,
            "disk_free_bytes": _disk_free(home),
        }

    # --- the end --------------------------------------------------------------------------------

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _stop(self) -> None:
        """Sampler, then intake (it commits), then the sinks (each hands over what is left first)."""
        for worker in (self._sampler, self._intake):
            worker.ask_to_stop()
            self._see_end(worker, _STOP_S)
        for worker in self._sinks.values():
            worker.ask_to_stop()
        until = self._clock.monotonic_s() + _SINKS_STOP_S
        for worker in self._sinks.values():
            self._see_end(worker, max(0.1, until - self._clock.monotonic_s()))
        with contextlib.suppress(OSError):
            self._files.remove(self._config.home.beacon)
        self._admin.close(200)
        self._context.term()
        logger.info("Daemon of %s ended.", self._config.home.path)

    @staticmethod
    def _see_end(worker: Worker, patience_s: float) -> None:
        if not worker.wait(patience_s):
            logger.warning(
                "%s did not end within %.0f s; it is killed.", worker.spec.name, patience_s
            )
            worker.kill()
            worker.wait(_STOP_S)


def _disk_free(home: Path) -> int | None:
    try:
        return shutil.disk_usage(home).free
    except OSError:
        return None


def _process_facts(name: str, pid: int | None, state: str, restarts: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, "pid": pid, "state": state, "restarts": restarts}
    try:
        process = psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        process = None
    if process is None:
        return facts | {"rss_bytes": None, "cpu_s": None}
    try:
        times = process.cpu_times()
        return facts | {"rss_bytes": process.memory_info().rss, "cpu_s": times.user + times.system}
    except psutil.Error:
        return facts | {"rss_bytes": None, "cpu_s": None}


def _sink_facts(name: str, worker: Worker) -> dict[str, Any]:
    facts = worker.facts
    state = facts.get("state", "live") if worker.state == "running" else worker.state
    return {
        "name": name,
        "state": state,
        "lag_rows": facts.get("lag_rows", 0),
        "reason": facts.get("reason", ""),
        "dead_letters": facts.get("dead_letters", 0),
        "runs": facts.get("runs", 0),
    }


def _unknown_facts(name: str, reason: str) -> dict[str, Any]:
    facts = {"name": name, "state": "unknown", "reason": reason}
    return facts | {"lag_rows": 0, "dead_letters": 0, "runs": 0}
