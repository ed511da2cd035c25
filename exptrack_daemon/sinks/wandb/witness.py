"""Who says what W&B really holds: the server, or the `.wandb` file of an offline session.

That `log` returned, or even `finish`, says nothing. The cursor follows a witness and nobody else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from exptrack_daemon.clock import Clock
from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.sinks.wandb.offline_log import LogFile, line_of
from exptrack_daemon.sinks.wandb.server import MAX_FILES, Question, Server

_PATIENCE_S = 2.0


class Witness(Protocol):
    def held(self) -> int:
        """Lines below this number are at W&B, with their files. Never waits."""

    def held_at_end(self, wanted: int, *, files_done: bool) -> int:
        """The same after `finish`; waits up to two seconds for what is `wanted`.

        `files_done`: wandb says that every file is uploaded.
        """

    def expect_file(self, line: int, name: str) -> None:
        """A line that came with a file, which is uploaded apart from it."""

    def is_silent(self) -> bool:
        """Whether the last question was not answered."""


class LogWitness:
    """Offline: what stands in the session's file, made durable before it counts."""

    def __init__(self, path: Path, first_line: int) -> None:
        self._log = LogFile(path)
        self._held = first_line

    def held(self) -> int:
        held = self._held
        for record in self._log.read_on():
            line = line_of(record)
            if line is not None:
                held = max(held, line + 1)
        if held > self._held:
            self._log.sync()
            self._held = held
        return held

    def held_at_end(self, wanted: int, *, files_done: bool) -> int:
        # The service writes its last block after `finish` has returned.
        return _wait_for(wanted, self.held, every_s=0.02)

    def expect_file(self, line: int, name: str) -> None:
        """Nothing to wait for: wandb has copied it beside the log before `log` returned."""

    def is_silent(self) -> bool:
        return False


class _Upload(NamedTuple):
    line: int
    name: str


class _Held(NamedTuple):
    lines: int
    files: frozenset[str]


class ServerWitness:
    """Online: what the server says, asked in the background."""

    def __init__(self, server: Server, clock: Clock, first_line: int, *, every_s: float) -> None:
        self._server = server
        self._question: Question[_Held] = Question(clock, every_s=every_s)
        self._lines = first_line
        self._uploads: deque[_Upload] = deque()

    def held(self) -> int:
        answer = self._question.take()
        if answer is not None:
            self._learn(answer)
        names = self._names()
        self._question.ask(lambda: self._ask(names))
        return self._known()

    def held_at_end(self, wanted: int, *, files_done: bool) -> int:
        if files_done:
            self._uploads.clear()
        return _wait_for(wanted, self._held_now, every_s=0.3)

    def _held_now(self) -> int:
        try:
            self._learn(self._ask(self._names()))
        except SinkUnavailable as error:
            self._question.failure = error
        return self._known()

    def expect_file(self, line: int, name: str) -> None:
        self._uploads.append(_Upload(line, name))

    def is_silent(self) -> bool:
        return self._question.failure is not None

    def _names(self) -> list[str]:
        return [upload.name for upload in self._uploads][:MAX_FILES]

    def _ask(self, names: list[str]) -> _Held:
        lines = self._server.lines_held()
        files = self._server.files_held(names) if names else frozenset()
        return _Held(lines, files)

    def _learn(self, answer: _Held) -> None:
        self._lines = max(self._lines, answer.lines)
        self._uploads = deque(up for up in self._uploads if up.name not in answer.files)

    def _known(self) -> int:
        return min(self._lines, self._uploads[0].line) if self._uploads else self._lines


def _wait_for(wanted: int, held: Callable[[], int], *, every_s: float) -> int:
    pause = threading.Event()
    for _ in range(round(_PATIENCE_S / every_s)):
        if held() >= wanted:
            break
        pause.wait(every_s)
    return held()
