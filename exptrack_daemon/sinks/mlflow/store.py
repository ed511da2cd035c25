"""MLflow's client for one place, and what its answers mean for the delivery loop.

400, 404, 409, 413 and 422 are refusals: `BatchRejected`, unless the run was deleted there. Anything else
means not now, `SinkUnavailable`: a wrong password too, since someone can mend that.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from exptrack_daemon.errors import BatchRejected, SinkUnavailable
from exptrack_daemon.home import make_private
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.mlflow.files import File
from exptrack_daemon.sinks.mlflow.process import Library
from exptrack_daemon.sinks.mlflow.said import Point
from exptrack_daemon.sinks.mlflow.settings import MlflowSettings

RUN_TAG = "exptrack.run_id"
_NS_PER_MS = 1_000_000
MAX_METRICS = 999
"""With one tag in the same call. MLflow's client counts both together, and would send what is beyond a
thousand in a further call: after the tag that says they have arrived."""
MAX_PAIRS = 100
"""Params or tags in one call."""
_MAX_CHARS = 150_000
"""In one call: six bytes each, as JSON may need, stay below MLflow's million."""
_POINT_CHARS = 100
_REFUSED = frozenset({400, 404, 409, 413, 422})
_STATUS_IN_TEXT = re.compile(r"failed with error code (\d{3})\b")
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Known:
    """A run as MLflow has it."""

    run_id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    is_deleted: bool = False


class Store:
    """Each call returns once MLflow has committed it.

    All of them raise `SinkUnavailable` and `BatchRejected` as said above.
    """

    def __init__(self, library: Library, settings: MlflowSettings) -> None:
        self._library = library
        self._settings = settings
        self._where = settings.tracking_uri
        with self._answers():
            if self._where.startswith(_SQLITE):
                make_private(Path(self._where.removeprefix(_SQLITE)).parent)
            self._client = library.client(tracking_uri=self._where)

    def run(self, run_id: str) -> Known | None:
        """The run of this id of MLflow's; None when there is none."""
        try:
            with self._answers():
                return _known(self._client.get_run(run_id))
        except BatchRejected:
            return None

    def find(self, experiment_id: str, run: RunInfo) -> Known | None:
        """The run that was made for ours, by us or an earlier worker."""
        with self._answers():
            found = self._client.search_runs(
                [experiment_id], f"tags.`{RUN_TAG}` = '{run.run_id}'", max_results=1
            )
        return _known(found[0]) if found else None

    def create(self, experiment_id: str, run: RunInfo, tags: Mapping[str, str]) -> Known:
        with self._answers():
            made = self._client.create_run(
                experiment_id,
                start_time=run.created_ns // _NS_PER_MS,
                tags={RUN_TAG: run.run_id, **tags},
                run_name=run.name or run.run_id,
            )
        return _known(made)

    def experiment(self, name: str) -> str:
        """The id of the experiment, made if need be."""
        with self._answers():
            found = self._client.get_experiment_by_name(name)
        if found is None:
            return self._create_experiment(name)
        if found.lifecycle_stage != "active":
            raise SinkUnavailable(
                f"experiment {name!r} was deleted in MLflow: restore it there (mlflow experiments restore"
                f" -x {found.experiment_id})"
            )
        return str(found.experiment_id)

    def _create_experiment(self, name: str) -> str:
        try:
            with self._answers():
                return str(
                    self._client.create_experiment(name, artifact_location=self._settings.artifacts)
                )
        except BatchRejected as error:
            # Another writer was first, most likely: then the next try finds it.
            raise SinkUnavailable(str(error)) from error

    def log(
        self,
        run_id: str,
        *,
        points: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """One call; MLflow commits params first, then metrics, then tags."""
        made = self._library
        with self._answers(run_id):
            self._client.log_batch(
                run_id,
                metrics=[made.metric(p.key, p.value, p.time_ms, p.step) for p in points],
                params=[made.param(*pair) for pair in (params or {}).items()],
                tags=[made.tag(*pair) for pair in (tags or {}).items()],
            )

    def put_file(self, run_id: str, file: File) -> None:
        folder, _, name = file.path.rpartition("/")
        with tempfile.TemporaryDirectory() as place, self._answers(run_id):
            path = Path(place, name)
            path.write_bytes(file.data)
            self._client.log_artifact(run_id, str(path), folder)

    def set_status(self, run_id: str, status: str, ended_ms: int) -> None:
        with self._answers(run_id):
            if status == "RUNNING":
                self._client.update_run(run_id, status=status)
            else:
                self._client.set_terminated(run_id, status, ended_ms)

    @contextmanager
    def _answers(self, run_id: str | None = None) -> Iterator[None]:
        """What MLflow raises without its server or disk is listed nowhere; whatever it is, it may pass."""
        try:
            yield
        except SinkUnavailable:
            raise
        except self._library.error as error:
            says = f"MLflow at {self._where}: {_first_line(error)}"
            if _http_status(error) not in _REFUSED:
                raise SinkUnavailable(says) from error
            if run_id is not None:
                self._require_active(run_id)
            raise BatchRejected(says) from error
        except Exception as error:
            raise SinkUnavailable(f"MLflow at {self._where}: {_first_line(error)}") from error

    def _require_active(self, run_id: str) -> None:
        known = self.run(run_id)
        if known is None or known.is_deleted:
            raise SinkUnavailable(
                f"run {run_id} was deleted in MLflow: restore it there (mlflow runs restore --run-id"
                f" {run_id}), or have it made anew with `exptrack replay RUN --to mlflow`"
            )


def _known(run: Any) -> Known:
    return Known(
        run.info.run_id, run.data.params, run.data.tags, run.info.lifecycle_stage != "active"
    )


def _http_status(error: Any) -> int:
    """MLflow's own code; a server or proxy that does not speak MLflow is named in the text only."""
    found = _STATUS_IN_TEXT.search(str(error))
    return int(found[1]) if found else int(error.get_http_status_code())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


Pair = TypeVar("Pair")


def pairs_in_calls(pairs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Params or tags, so many at once as MLflow takes."""
    sized = ((pair, sum(map(len, pair))) for pair in pairs.items())
    for call in _in_calls(sized, MAX_PAIRS):
        yield dict(call)


def points_in_calls(points: Iterable[Point]) -> Iterator[list[Point]]:
    """Points, so many at once as MLflow takes."""
    return _in_calls(((point, len(point.key) + _POINT_CHARS) for point in points), MAX_METRICS)


def _in_calls(sized: Iterable[tuple[Pair, int]], most: int) -> Iterator[list[Pair]]:
    call: list[Pair] = []
    chars = 0
    for thing, size in sized:
        if call and (len(call) == most or chars + size > _MAX_CHARS):
            yield call
            call, chars = [], 0
        call.append(thing)
        chars += size
    if call:
        yield call
