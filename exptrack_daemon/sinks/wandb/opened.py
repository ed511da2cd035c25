"""A session together with who knows what has arrived of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.wandb.diagnosis import refusal_of
from exptrack_daemon.sinks.wandb.errors import WorkerMustRestart
from exptrack_daemon.sinks.wandb.refusals import Refusals, is_for_what_was_sent
from exptrack_daemon.sinks.wandb.rows import Line
from exptrack_daemon.sinks.wandb.server import Server
from exptrack_daemon.sinks.wandb.session import REFUSED, Session
from exptrack_daemon.sinks.wandb.told import Told
from exptrack_daemon.sinks.wandb.witness import Witness

logger = logging.getLogger(__name__)


class Opened:
    """A run that is open at W&B: each line goes in once, and what is held already is passed over."""

    def __init__(
        self,
        session: Session,
        witness: Witness,
        first_line: int,
        *,
        told: Told,
        server: Server | None = None,
    ) -> None:
        self.session = session
        self.witness = witness
        self.first_line = first_line
        self._next_line = first_line
        self._told = told
        self._server = server
        self._stop_is_known = False
        self._folder = session.log_path.parents[1]
        self.refusals = Refusals.load(self._folder)

    def put(self, line: Line) -> None:
        """Log a line that is new.

        Raises:
            SinkUnavailable: it has to wait until the server holds the ones before.
        """
        if line.number >= self._next_line:
            narrowed = self.refusals.window
            if narrowed and not self.refusals.may_send(line.number, self.witness.held()):
                raise SinkUnavailable(
                    "W&B refused what it was sent; rows go in small numbers until the one is found"
                )
            if line.number in self.refusals.poison:
                line = refused_line(line.number)
            file = self.session.put(line)
            self._next_line = line.number + 1
        elif line.attachment is not None and line.number < self.first_line and self._server:
            # The server has the line; whether its file had arrived too, nobody knows any more.
            _, file = self.session.attach(line)
        else:
            return
        if file is not None:
            self.witness.expect_file(line.number, file)

    def tell(self, told: Told, run: RunInfo) -> None:
        """What the user has said since the last time."""
        self.session.tell(
            _news(self._told.config, told.config), _news(self._told.summary, told.summary)
        )
        self.session.define(_news(self._told.metrics, told.metrics))
        if told.notes != self._told.notes:
            self.session.note(notes_of(run, told))
        self._told = told

    def finish(self, told: Told) -> bool:
        try:
            # What the user set stands, whatever rows have come since.
            self.session.tell({}, told.summary)
        except WorkerMustRestart as error:
            logger.warning("%s.", error)
            return False
        return self.session.finish(told.exit_code or 0)

    def explain_stop(self, run_id: str) -> None:
        """Wandb reports both with one call: somebody pressed Stop, or it has given up uploading."""
        if self._stop_is_known:
            return
        if self._server is not None and self._server.is_stop_pressed():
            self._stop_is_known = True
            logger.warning("Stop was pressed at W&B for run %s; exptrack goes on.", run_id)
            return
        status = refusal_of(self.session.log_path.parent) or "see its debug-internal.log"
        self.learn_of_refusal(run_id)
        raise WorkerMustRestart(f"W&B refused what it was sent of run {run_id}: {status}")

    def learn_of_refusal(self, run_id: str) -> None:
        """Remember, for the sessions to come, what the server did not take of this one."""
        status = refusal_of(self.session.log_path.parent) or ""
        if self._server is None or not is_for_what_was_sent(status):
            return
        try:
            held = self._server.lines_held()
        except SinkUnavailable:
            return  # it is refused again when the server is back
        before, now = self.refusals, self.refusals.after(held, self._next_line)
        now.save(self._folder)
        if len(now.poison) > len(before.poison):
            logger.error(
                "Run %s: W&B has refused row %d for good (%s); its place there says so, the journal has it.",
                *(run_id, held, status),
            )


def refused_line(number: int) -> Line:
    return Line(number, {REFUSED: "the server does not take this row"})


def notes_of(run: RunInfo, told: Told) -> str:
    return f"{run.notes}\n{told.notes}".strip()


def _news(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in now.items() if name not in before or before[name] != value
    }
