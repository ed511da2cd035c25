"""TensorBoard for the studio: a process of its own on a free port.

The process is our `tensorboard_child`: it binds port 0 itself (no race), serves below an unguessable path,
and ends when its stdin does, so also when the studio is killed. One for a server, reused while it lives.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from exptrack_daemon.home import Home
from exptrack_daemon.store.export import MissingExtra

PATH = "/tensorboard"
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 5.0


class NotStarted(Exception):
    """TensorBoard did not come up; the message says what it said."""


def flags(logdir: Path, prefix: str) -> list[str]:
    """How TensorBoard is to run, wherever it runs."""
    return [
        *("tensorboard", "--logdir", str(logdir), "--path_prefix", prefix),
        # no helper process: it would listen on a port of its own, and could be left behind
        *("--load_fast", "false", "--reload_multifile", "true", "--reload_interval", "2"),
        # by default a chart holds 1,000 points at random of each line
        *("--samples_per_plugin", "scalars=10000,images=100"),
    ]


def require() -> None:
    """Raise MissingExtra where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtra("TensorBoard is not installed: pip install 'exptrack[tensorboard]'")


class TensorBoardProcess:
    """The launched one. Its calls wait, so they belong in a thread."""

    def __init__(self, home: Home) -> None:
        self._logdir = home.tensorboard
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._drain: threading.Thread | None = None

    def start(self) -> str:
        """Its address; started when it does not run yet.

        Raises:
            MissingExtra: it is not installed.
            NotStarted: it ended, or was not ready in time.
        """
        require()
        with self._lock:
            if self._is_running():
                return self._url
            self._logdir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._process = self._launched()
            self._url = self._wait_for_url(self._process)
            return self._url

    def url(self) -> str | None:
        """Its address; None when it does not run."""
        return self._url if self._is_running() else None

    def stop(self) -> None:
        """Its end; nothing happens when it does not run."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin is not None:
            process.stdin.close()  # it ends by itself then
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._drain is not None:
            self._drain.join(_STOP_WITHIN_S)

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _launched(self) -> subprocess.Popen[str]:
        module = "exptrack_daemon.web.tensorboard_child"
        return subprocess.Popen(
            [sys.executable, "-m", module, "--logdir", str(self._logdir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def _wait_for_url(self, process: subprocess.Popen[str]) -> str:
        found = threading.Event()
        said: list[str] = []
        urls: list[str] = []

        def drain() -> None:
            """Reads on for as long as it lives: a full pipe would stop it."""
            if process.stderr is None:
                return
            with process.stderr as lines:
                for line in lines:
                    url = url_in(line)
                    if url is not None:
                        urls.append(url)
                        found.set()
                    elif not found.is_set():
                        said.append(line.rstrip())
            found.set()

        self._drain = threading.Thread(target=drain, name="tensorboard-log", daemon=True)
        self._drain.start()
        found.wait(_READY_WITHIN_S)
        if not urls:
            self._end(process)
            raise NotStarted("TensorBoard did not start: " + ("\n".join(said[-5:]) or "no word"))
        return urls[0]


def url_in(line: str) -> str | None:
    """The address in the line that says where it serves; None in any other line. Pure."""
    words = line.split()
    if "TensorBoard" not in words[:1]:
        return None
    return next((word for word in words if urlsplit(word).scheme == "http"), None)
