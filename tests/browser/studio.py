"""`exptrack ui` as a process: started, found by the line it prints, ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from exptrack_daemon.home import Home

_STOP_S = 10.0


class Studio:
    """A studio over a home."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.start = ""
        """The address with the token."""
        self.allowed: set[str] = set()
        """Parts of what it may complain of."""
        self._log = home.with_name(f"{home.name}.log")
        self._process: subprocess.Popen[str] | None = None

    def begin(self, port: int = 0) -> None:
        """Start it and wait for its address."""
        command = [sys.executable, "-m", "exptrack_daemon", "ui", "--no-browser"]
        command += ["--home", str(self.home.path), "--port", str(port)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.start = next(word for word in line.split() if word.startswith("http://"))

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.start)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.start).port
        assert port is not None
        return port

    def end(self) -> None:
        """Stop it, as Ctrl-C would; it has nothing to complain of."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        assert self._complaints() == set()

    def _complaints(self) -> set[str]:
        """What it wrote to stderr, of a traceback the error."""
        lines = {line for line in self._log.read_text().splitlines() if line[:1].strip()}
        around = ("Traceback (most", "During handling", "The above exception", *self.allowed)
        return {line for line in lines if not any(part in line for part in around)}
