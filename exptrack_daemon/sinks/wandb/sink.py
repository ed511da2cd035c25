"""The sink itself: batches in, lines to a session, the cursor after what a witness has seen.

A session is opened with the first batch, not before: a run that has nothing new costs no request and no
folder. Within a session a line is logged once; lines that W&B holds already are passed over.

When the worker stops although the run goes on, the W&B run is finished with exit code 0 so that all rows
show; the next session resumes it. `finished` is less wrong there than `crashed` or `failed`. When the server
does not answer it is left alone: W&B finds out, and nothing is lost.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from typing import Any

from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.journal.entries import Event, RunInfo
from exptrack_daemon.sinks.base import Batch, SavedState, Settled, SinkContext
from exptrack_daemon.sinks.wandb.artifacts import reference_of
from exptrack_daemon.sinks.wandb.awaiting import Awaiting
from exptrack_daemon.sinks.wandb.errors import WorkerMustRestart
from exptrack_daemon.sinks.wandb.names import config_keys, run_identity
from exptrack_daemon.sinks.wandb.offline_log import cut_torn_end
from exptrack_daemon.sinks.wandb.opened import Opened, notes_of
from exptrack_daemon.sinks.wandb.options import options_of
from exptrack_daemon.sinks.wandb.process import find_helper, find_writer, kill_helper
from exptrack_daemon.sinks.wandb.readback import fragments_of, lines_held
from exptrack_daemon.sinks.wandb.rows import lines_of
from exptrack_daemon.sinks.wandb.server import Server
from exptrack_daemon.sinks.wandb.session import Plan, Session, project_of
from exptrack_daemon.sinks.wandb.settings import Destination, WandbSettings
from exptrack_daemon.sinks.wandb.told import Told
from exptrack_daemon.sinks.wandb.witness import LogWitness, ServerWitness
from exptrack_proto.records import Alert, Artifact, Graph

logger = logging.getLogger(__name__)

MAX_UNSETTLED_LINES = 200_000
"""wandb takes rows without end while the server is away, and keeps all of them on disk a second time."""
_STALE_ALERT_NS = 3600 * 10**9


class WandbSink:
    """One run's projection to W&B."""

    def __init__(
        self,
        run: RunInfo,
        context: SinkContext,
        settings: WandbSettings,
        destination: Destination,
        *,
        wandb: Any,
        saved: SavedState | None,
    ) -> None:
        self._run = run
        self._context = context
        self._settings = settings
        options = options_of(run)
        self._keys = options.keys
        self._destination = replace(destination, entity=options.entity or destination.entity)
        self._wandb = wandb
        self._told = Told.from_state(saved or {})
        self._lines = self._lines_saved = int((saved or {}).get("lines", 0))
        self._url: str | None = (saved or {}).get("url")
        self._lines_held = self._lines
        self._awaiting = Awaiting()
        self._open: Opened | None = None
        self._graph_is_known = False

    def write(self, batch: Batch) -> None:
        lines = lines_of(batch.entries, self._lines, self._keys)
        told = self._told.after(batch.entries, self._keys)
        opened = self._open or self._open_session()
        self._check(opened)
        self._wait_for_server(opened)
        for line in lines:
            opened.put(line)
        opened.tell(told, self._run)
        self._alert(opened, batch)
        self._put_artifacts(opened, batch)
        self._told, self._lines = told, self._lines + len(lines)
        self._awaiting.add(batch.end, self._lines, self._state())

    def settled(self) -> Settled | None:
        """After `close` too: `finish` is when most of a short run arrives."""
        if self._open is not None:
            self._check(self._open)
            if self._awaiting:
                self._lines_held = self._open.witness.held()
        return self._awaiting.settle(self._lines_held)

    def close(self) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        has_ended = self._told.exit_code is not None
        if not has_ended and opened.witness.is_silent():
            kill_helper()
            return
        files_done = opened.finish(self._told)
        self._lines_held = opened.witness.held_at_end(self._lines, files_done=files_done)
        if self._lines_held < self._lines:
            opened.learn_of_refusal(self._run.run_id)
        if has_ended and self._destination.mode == "online" and self._lines_held >= self._lines:
            self._remove_copies()

    def _remove_copies(self) -> None:
        """What wandb kept, session by session, of what is in the journal and at the server."""
        for session in (self._context.folder / "wandb").glob("run-*"):
            shutil.rmtree(session, ignore_errors=True)

    def _state(self) -> SavedState:
        state = {"lines": self._lines, "mode": self._destination.mode, **self._told.to_state()}
        return state if self._url is None else {**state, "url": self._url}

    def _wait_for_server(self, opened: Opened) -> None:
        self._lines_held = opened.witness.held()
        behind = self._lines - self._lines_held
        if behind > MAX_UNSETTLED_LINES:
            raise SinkUnavailable(f"W&B has not confirmed the last {behind:,} rows")

    def _check(self, opened: Opened) -> None:
        opened.session.check_health(self._context.clock.monotonic_s())
        if opened.session.was_told_to_stop:
            opened.explain_stop(self._run.run_id)

    def _alert(self, opened: Opened, batch: Batch) -> None:
        """Only of what is new: nobody wants to be woken by a replay."""
        oldest_ns = self._context.clock.now_ns() - _STALE_ALERT_NS
        for entry in batch.entries:
            if not isinstance(entry, Event) or not isinstance(entry.item, Alert):
                continue
            if entry.item.time_ns >= oldest_ns and self._lines >= opened.first_line:
                opened.session.alert(entry.item)

    def _put_artifacts(self, opened: Opened, batch: Batch) -> None:
        """Those of a batch that W&B holds already too: it knows them by what they hold."""
        for entry in batch.entries:
            if not isinstance(entry, Event):
                continue
            if isinstance(entry.item, Artifact) and self._settings.artifacts != "off":
                opened.session.put_artifact(reference_of(entry.item, self._run.run_id))
            elif isinstance(entry.item, Graph) and not self._graph_is_known:
                self._graph_is_known = True
                logger.info(
                    "Run %s: W&B has no place for a model's graph; TensorBoard shows it.",
                    self._run.run_id,
                )

    # -- opening ---------------------------------------------------------------------------------------

    def _open_session(self) -> Opened:
        if self._destination.mode == "offline":
            self._open = self._open_offline()
        else:
            self._open = self._open_online()
        return self._open

    def _open_offline(self) -> Opened:
        # A fragment must begin right after the last line of the ones before: sync would double any other.
        self._wait_for_earlier_service()
        folder = self._context.folder / "wandb"
        for fragment in fragments_of(folder):
            cut_torn_end(fragment)
        first = max(self._lines_saved, lines_held(folder))
        session = self._start()
        return Opened(session, LogWitness(session.log_path, first), first, told=self._told)

    def _open_online(self) -> Opened:
        server = Server(
            self._destination,
            project_of(self._run, self._settings),
            run_identity(self._run.run_id),
            self._settings.init_timeout_s,
        )
        # Asked before wandb is: it would take up to 24 s to find out that nobody answers, and not say why.
        held = server.lines_held()
        self._wait_for_earlier_service()
        if held < self._lines_saved:
            self._warn_of_loss(held)
        session = self._start()
        server.entity, self._url = session.entity, session.url
        first = max(self._lines_saved, held, session.starting_line)
        every_s = self._settings.transmit_interval_s
        witness = ServerWitness(server, self._context.clock, first, every_s=every_s)
        return Opened(session, witness, first, told=self._told, server=server)

    def _wait_for_earlier_service(self) -> None:
        writer = find_writer(self._context.folder / "wandb")
        helper = find_helper()
        if writer is None:
            return
        if helper is None or writer.pid != helper.pid:
            raise SinkUnavailable("wandb's service of an earlier worker has not left yet")
        # Our own could not finish this run in time, and would not let it be opened again.
        kill_helper()
        raise WorkerMustRestart("wandb's service still holds an earlier session of the run")

    def _start(self) -> Session:
        config = {**config_keys(self._run.config), **self._told.config}
        plan = Plan(
            self._run,
            self._destination,
            self._settings,
            self._context.folder,
            config=config,
            notes=notes_of(self._run, self._told),
            step_name=self._keys.step,
        )
        session = Session(self._wandb, plan)
        if session.helper_pid is not None:
            self._context.announce_child(session.helper_pid)
        session.tell({}, self._told.summary)
        session.define(self._told.metrics)
        return session

    def _warn_of_loss(self, held: int) -> None:
        logger.error(
            "W&B holds %d rows of run %s, of %d that it had confirmed. Was it deleted there?"
            " `exptrack replay %s --to wandb` sends them again.",
            *(held, self._run.run_id, self._lines_saved, self._run.run_id),
        )
