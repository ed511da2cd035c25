"""Plays supervisor to `wandb_worker`: starts it, notices a missed heartbeat, kills it with its children."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.wandb_journal import Script
from tests.support.wandb_worker import RESTART

ROOT = Path(__file__).parents[2]
API_KEY = "0123456789abcdef0123456789abcdef01234567"


def wait_until(
    holds: Callable[[], Any], what: str, *, timeout_s: float = 40.0, about: object = ""
) -> None:
    """Poll; fail with what was waited for, and what is known by then."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}; {about}"
        time.sleep(0.02)


class Supervisor:
    """Worker after worker, over one home."""

    def __init__(
        self,
        home: Path,
        *scripts: Script,
        settings: dict[str, Any] | None = None,
        batch: int = 5,
        pause_s: float = 0.01,
        heartbeat_s: float = 30.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.home = home
        self.scripts = scripts
        self.settings = settings or {"mode": "offline"}
        self.heartbeat_s = heartbeat_s
        self.environment = environment or {}
        self.restarts = 0
        self.beats = 0
        self.reasons: list[str] = []
        self.children: list[int] = []
        self.settled: dict[str, int] = {}
        """Rows by run."""
        self.batch = batch
        self.pause_s = pause_s
        self._beat = 0.0
        self._worker: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._quitting = threading.Event()
        self._watcher: threading.Thread | None = None
        self.is_done = threading.Event()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self._quitting.set()
        self.kill()
        if self._watcher is not None:
            self._watcher.join(10)

    def start(self) -> Supervisor:
        self._hear_out()
        self.home.mkdir(parents=True, exist_ok=True)
        job = self.home / "job.json"
        job.write_text(
            json.dumps(
                {
                    "home": str(self.home),
                    "scripts": [dataclasses.asdict(script) for script in self.scripts],
                    "settings": self.settings,
                    "batch": self.batch,
                    "pause_s": self.pause_s,
                }
            )
        )
        environment = {key: text for key, text in os.environ.items() if "WANDB" not in key}
        environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}", **self.environment}
        self.is_done.clear()
        self._beat = time.monotonic()
        # Not stdout: wandb's service inherits that, and would hold it open after the worker's end.
        told, tell = os.pipe()
        with (self.home / "worker.err").open("ab") as errors:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "tests.support.wandb_worker", str(job), str(tell)],
                stderr=errors,
                env=environment,
                cwd=ROOT,
                pass_fds=(tell,),
                start_new_session=True,
            )
        os.close(tell)
        self._reader = threading.Thread(target=self._read, args=(told,), daemon=True)
        self._reader.start()
        return self

    def watch(self) -> Supervisor:
        """Restart what leaves for it or hangs, from now on."""
        self.start()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._quitting.wait(0.05) and not self.is_done.is_set():
            assert self._worker is not None
            code = self._worker.poll()
            is_late = time.monotonic() - self._beat > self.heartbeat_s
            if code == RESTART or is_late:
                self.restarts += 1
                self.kill()
                self.start()

    def _read(self, told: int) -> None:
        with os.fdopen(told) as lines:
            for text in lines:
                self._hear(json.loads(text))

    def _hear(self, said: dict[str, Any]) -> None:
        self._beat = time.monotonic()
        match said["what"]:
            case "beat":
                self.beats += 1
            case "child":
                self.children.append(said["pid"])
            case "settled":
                self.settled[said["run"]] = said["rows"]
            case "unavailable":
                self.reasons.append(said["why"])
            case "done":
                self.is_done.set()

    def kill(self, *, with_children: bool = True) -> None:
        """SIGKILL, to the worker and to what it announced."""
        worker = self._worker
        if worker is None:
            return
        with suppress(ProcessLookupError):
            worker.kill()
        for pid in set(self.children):
            if with_children and self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)
        worker.wait()
        self._hear_out()

    def _hear_out(self) -> None:
        if self._reader is not None:
            self._reader.join(10)

    def terminate(self) -> None:
        """Ask the worker to close its sinks and leave."""
        assert self._worker is not None
        self._worker.terminate()
        self._worker.wait(40)
        self._hear_out()

    @property
    def helper(self) -> int:
        return self.children[-1]

    @staticmethod
    def _is_ours(pid: int) -> bool:
        """A pid may have been given to somebody else since."""
        try:
            return b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def wait_done(self, timeout_s: float = 40.0) -> None:
        self._wait(self.is_done.is_set, "the worker is done", timeout_s)
        assert self._worker is not None
        self._worker.wait(20)

    def wait_settled(self, rows: int, run_id: str = "run-1", timeout_s: float = 40.0) -> None:
        settled = self.settled
        what = f"{rows} rows of {run_id} settled"
        self._wait(lambda: settled.get(run_id, 0) >= rows, what, timeout_s)

    def _wait(self, holds: Callable[[], Any], what: str, timeout_s: float) -> None:
        wait_until(lambda: self._is_broken() or holds(), what, timeout_s=timeout_s, about=self)
        assert not self._is_broken(), str(self)

    def _is_broken(self) -> bool:
        """The worker left in a way that it should not."""
        code = self._worker.poll() if self._worker else None
        return code is not None and code > 0 and code != RESTART

    def __str__(self) -> str:
        errors = (self.home / "worker.err").read_text()[-2000:]
        return f"settled {self.settled}, restarts {self.restarts}, {self.reasons[-5:]}, {errors}"
