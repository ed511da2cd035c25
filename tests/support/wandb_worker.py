"""A worker process that feeds the real W&B sink as the delivery loop does, from made-up journals.

    python -m tests.support.wandb_worker JOB.json DESCRIPTOR

Cursors are kept where the daemon keeps them. It tells its supervisor, one JSON object a line:
`beat` (before each call to the sink), `child`, `settled`, `unavailable`, `done`. It leaves with 75 when the
sink asks for a new process, and on SIGTERM after closing every sink.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.home import Home
from exptrack_daemon.journal.entries import Rows
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, Sink, SinkContext
from exptrack_daemon.sinks.wandb import open_sink
from tests.support.wandb_journal import Script, entries_of

RESTART = 75
_RETRY_S = 0.5

stopping = threading.Event()


def say(what: str, **more: Any) -> None:
    line = json.dumps({"what": what, **more}) + "\n"
    os.write(int(sys.argv[2]), line.encode())


class Feed:
    """One run."""

    def __init__(self, home: Home, script: Script, job: dict[str, Any]) -> None:
        self.script = script
        self.home = home
        self.job = job
        self.entries = entries_of(script)
        self.cursor = home.cursor(script.run_id, "wandb")
        self.sink: Sink | None = None
        self.next_try = 0.0
        self.done = False
        self._load()

    def _load(self) -> None:
        saved = json.loads(self.cursor.read_text()) if self.cursor.exists() else {}
        self.settled_at, self.state = saved.get("record", 0), saved.get("state")
        self.at = self.settled_at

    def turn(self) -> None:
        """Open, write one batch or none, and see what has settled."""
        if self.done or time.monotonic() < self.next_try:
            return
        say("beat")
        try:
            if self.sink is None:
                self._load()
                if self.settled_at == len(self.entries):
                    self.done = True
                    return
                self.sink = self._open()
            self._feed()
            self._settle()
        except SinkUnavailable as error:
            say("unavailable", run=self.script.run_id, why=str(error))
            if getattr(error, "restart_worker", False):
                os._exit(RESTART)
            self.next_try = time.monotonic() + _RETRY_S

    def _open(self) -> Sink:
        folder = self.home.run(self.script.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        context = SinkContext(
            self.home,
            folder,
            self.job["settings"],
            SystemClock(),
            announce_child=lambda pid: say("child", pid=pid),
        )
        return open_sink(self.script.info, context, self.state)

    def _feed(self) -> None:
        assert self.sink is not None
        chosen = self.entries[self.at : self.at + self.job["batch"]]
        if chosen:
            end = self.at + len(chosen)
            self.sink.write(
                Batch(self.script.info, tuple(chosen), self._at(self.at), self._at(end))
            )
            self.at = end
        elif self.script.status is not None:
            self.close()

    def close(self) -> None:
        sink, self.sink = self.sink, None
        if sink is None:
            return
        say("beat")
        sink.close()
        self._take(sink)
        self.next_try = time.monotonic() + _RETRY_S

    def _settle(self) -> None:
        if self.sink is not None:
            self._take(self.sink)

    def _take(self, sink: Sink) -> None:
        settled = sink.settled()
        if settled is None:
            return
        self.settled_at = settled.end.record
        self.cursor.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.cursor.with_suffix(".tmp")
        temporary.write_text(json.dumps({"record": self.settled_at, "state": settled.state}))
        temporary.replace(self.cursor)
        say("settled", run=self.script.run_id, rows=settled.end.rows, record=self.settled_at)

    def _at(self, record: int) -> Position:
        rows = sum(len(e.rows) for e in self.entries[:record] if isinstance(e, Rows))
        return Position(1, record, record, rows)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    home = Home(Path(job["home"]))
    feeds = [Feed(home, Script(**script), job) for script in job["scripts"]]
    while not stopping.is_set() and not all(feed.done for feed in feeds):
        for feed in feeds:
            feed.turn()
        stopping.wait(job["pause_s"])
    for feed in feeds:
        feed.close()
    say("done")


if __name__ == "__main__":
    main()
