"""What a program prints, kept with its run: opt-in, bounded, and gone without a trace on `close`.

    with capture_output(run):
        train()

Whole lines become texts named `console/stdout` and `console/stderr`, several lines in each. Of a line that a
progress bar draws over and over, the last state counts. What is printed is printed as before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import TracebackType
from typing import Any

from exptrack_agent.integrations.items import put_media, put_note
from exptrack_agent.media import Text
from exptrack_agent.run import Run

_SEND_AFTER_S = 2.0
_SEND_LINES = 200
_MOST_LINE_CHARS = 8_192


def capture_output(
    run: Run, *, stdout: bool = True, stderr: bool = True, most_bytes: int = 4 * 1024 * 1024
) -> Capture:
    """Keep what is printed from now on, until the capture is closed.

    Args:
        run: from `exptrack_agent.init`.
        stdout: keep the standard output.
        stderr: keep the error output.
        most_bytes: of each; what comes after is printed only, and a note says so.
    """
    names = [name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted]
    return Capture(run, names, most_bytes)


class Capture:
    """What `capture_output` returns; `close()`, or leaving it as a context, ends it."""

    def __init__(self, run: Run, names: list[str], most_bytes: int) -> None:
        self._tees = {name: _Tee(run, name, getattr(sys, name), most_bytes) for name in names}
        for name, tee in self._tees.items():
            setattr(sys, name, tee)

    def close(self) -> None:
        """Give the streams back, unless somebody replaced them meanwhile; send what is left."""
        for name, tee in self._tees.items():
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.original)
            tee.end()

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Tee:
    """Stands in for a stream: all goes to the original, a copy of its lines into the run."""

    def __init__(self, run: Run, name: str, original: Any, most_bytes: int) -> None:
        self.original = original
        self._run = run
        self._name = name
        self._room = most_bytes
        self._lock = threading.RLock()
        self._is_busy = False
        self._has_ended = False
        self._part = ""
        self._lines: list[str] = []
        self._texts = 0
        self._sent_s = time.monotonic()

    def write(self, text: str) -> Any:
        """As the original."""
        written = self.original.write(text)
        with contextlib.suppress(Exception):  # keeping a copy must not break printing
            self._keep(text)
        return written

    def writelines(self, lines: Any) -> None:
        """As the original."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def end(self) -> None:
        """Send what is left, and keep nothing more."""
        with self._lock:
            if self._has_ended:
                return
            if self._part:
                self._lines.append(self._part)
            self._send()
            self._has_ended = True

    def _keep(self, text: str) -> None:
        with self._lock:
            if self._is_busy or self._has_ended or self._room <= 0 or not isinstance(text, str):
                return
            self._is_busy = True  # a signal handler that prints comes in here again
            try:
                self._take(text)
            finally:
                self._is_busy = False

    def _take(self, text: str) -> None:
        *whole, part = (self._part + text).split("\n")
        self._part = part.rpartition("\r")[2][-_MOST_LINE_CHARS:]
        for line in whole:
            shown = line.rstrip("\r").rpartition("\r")[2][:_MOST_LINE_CHARS]
            self._room -= len(shown.encode("utf-8", "replace")) + 1
            self._lines.append(shown)
            if self._room <= 0:
                self._send()
                put_note(self._run, f"{self._name}: from here on it is too much and is not kept")
                return
        is_due = time.monotonic() - self._sent_s > _SEND_AFTER_S
        if len(self._lines) >= _SEND_LINES or (self._lines and is_due):
            self._send()

    def _send(self) -> None:
        if self._lines and not self._run.is_finished:
            text = Text("```\n" + "\n".join(self._lines) + "\n```")
            put_media(self._run, f"console/{self._name}", text, self._texts)
            self._texts += 1
        self._lines = []
        self._sent_s = time.monotonic()
