"""The sink itself: batches in, calls to MLflow, and what is known to have arrived.

A call that returned is committed, so a batch is settled as soon as it is written. After a crash MLflow says
how far it got (`exptrack.place`, a tag that travels with the metrics), and the points before are passed over;
those that a call had committed before it could commit its tag come again and change nothing, since MLflow's
databases keep one of equal points. Files, tags and params may be said twice.
"""

from __future__ import annotations

import logging
from typing import Any

from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, SavedState, Settled
from exptrack_daemon.sinks.mlflow import names
from exptrack_daemon.sinks.mlflow.opened import PLACE_TAG, Opened, place_in
from exptrack_daemon.sinks.mlflow.process import Library
from exptrack_daemon.sinks.mlflow.said import Place, Said, params_of, said_in
from exptrack_daemon.sinks.mlflow.settings import MlflowSettings
from exptrack_daemon.sinks.mlflow.store import Known, Store
from exptrack_daemon.sinks.shown_names import ShownNames

logger = logging.getLogger(__name__)

_NOTE_TAG = "mlflow.note.content"
_MAX_NOTE_CHARS = 5_000


class MlflowSink:
    """One run's projection to MLflow."""

    def __init__(
        self, run: RunInfo, settings: MlflowSettings, library: Library, saved: SavedState | None
    ) -> None:
        self._run = run
        self._settings = settings
        self._library = library
        state: dict[str, Any] = saved or {}
        self._saved_run: str | None = state.get("run")
        self._saved_place = Place(*state.get("place", (0, 0)))
        self._notes: str = state.get("notes", run.notes)
        self._lost_items: int = state.get("lost", 0)
        self._without_place: set[str] = set(state.get("without_place", ()))
        self._keys = names.Keys(ShownNames(_options(run).get("names")))
        self._open: Opened | None = None
        self._unsettled: Position | None = None

    def write(self, batch: Batch) -> None:
        said = said_in(batch.entries, self._keys, self._run.run_id)
        opened = self._open or self._open_run()
        notes = "\n".join(filter(None, (self._notes, *said.notes)))[-_MAX_NOTE_CHARS:]
        lost = self._lost_items + said.lost_items
        opened.put_params(said.params)
        opened.put_points(said.points)
        opened.put_best(said.best)
        opened.put_files(said.files)
        opened.put_tags({**said.tags, **_about(notes, lost)})
        if said.status is not None:
            opened.set_status(said.status, said.ended_ms)
        self._notes, self._lost_items = notes, lost
        self._tell_of_no_place(said)
        self._unsettled = batch.end

    def settled(self) -> Settled | None:
        end, self._unsettled = self._unsettled, None
        if end is None or self._open is None:
            return None
        return Settled(
            end,
            {
                "run": self._open.run_id,
                "place": list(self._open.held),
                "notes": self._notes,
                "lost": self._lost_items,
                "without_place": sorted(self._without_place),
            },
        )

    def close(self) -> None:
        """Nothing is kept open: MLflow's client holds its connections for all runs of the process."""

    # -- opening ---------------------------------------------------------------------------------------

    def _open_run(self) -> Opened:
        store = Store(self._library, self._settings)
        known = self._find(store)
        if known is None:
            known = self._create(store)
        held = place_in(known.tags.get(PLACE_TAG))
        if held < self._saved_place:
            self._warn_of_loss()
        opened = Opened(store, known, max(held, self._saved_place))
        opened.put_params(params_of(self._run.config))
        self._open = opened
        return opened

    def _find(self, store: Store) -> Known | None:
        known = store.run(self._saved_run) if self._saved_run else None
        if known is None:
            return store.find(self._experiment(store), self._run)
        if known.is_deleted:
            raise SinkUnavailable(
                f"run {known.run_id} was deleted in MLflow: restore it there, or have it made anew with"
                f" `exptrack replay {self._run.run_id} --to mlflow`"
            )
        return known

    def _create(self, store: Store) -> Known:
        run = self._run
        about = {"exptrack.group": run.group, "exptrack.job_type": run.job_type}
        tags = {
            **names.labels(run.tags),
            **{name: value for name, value in about.items() if value},
            **_about(run.notes[-_MAX_NOTE_CHARS:], 0),
        }
        return store.create(self._experiment(store), run, tags)

    def _experiment(self, store: Store) -> str:
        asked = _options(self._run).get("experiment")
        name = asked if isinstance(asked, str) and asked else self._run.project
        return store.experiment(names.experiment(self._settings.experiment_prefix, name))

    def _warn_of_loss(self) -> None:
        logger.error(
            "MLflow no longer holds all of run %s that it had taken. Was it deleted there, or its database"
            " replaced? `exptrack replay %s --to mlflow` sends what is missing.",
            *(self._run.run_id, self._run.run_id),
        )

    def _tell_of_no_place(self, said: Said) -> None:
        for kind in sorted(said.without_place - self._without_place):
            logger.info(
                "Run %s: MLflow has no place for %s; they are in the journal and at the other sinks.",
                *(self._run.run_id, kind),
            )
        self._without_place |= said.without_place


def _options(run: RunInfo) -> dict[str, Any]:
    """What the run asks of this sink: `names` (see `shown_names`), `experiment` instead of its project."""
    asked = run.sink_options.get("mlflow")
    return dict(asked) if isinstance(asked, dict) else {}


def _about(notes: str, lost_items: int) -> dict[str, str]:
    about = {_NOTE_TAG: notes, "exptrack.lost_items": str(lost_items) if lost_items else ""}
    return {name: value for name, value in about.items() if value}
