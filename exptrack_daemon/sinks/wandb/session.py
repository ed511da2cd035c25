"""One `wandb.init`, from its settings to its `finish`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.wandb import names
from exptrack_daemon.sinks.wandb.artifacts import Reference
from exptrack_daemon.sinks.wandb.errors import WorkerMustRestart
from exptrack_daemon.sinks.wandb.media import Attachment, Picture
from exptrack_daemon.sinks.wandb.process import find_helper, is_alive, kill_helper
from exptrack_daemon.sinks.wandb.rows import Line
from exptrack_daemon.sinks.wandb.settings import Destination, WandbSettings
from exptrack_proto.records import PREEMPTED_CODES, Alert

logger = logging.getLogger(__name__)

_LOG_FLUSH_S = 1.0
_RETRY_AT_LEAST_EVERY_S = 20.0
_STALL_S = 30.0
"""A service that writes nothing down for so long, though it was given lines, hangs."""
_NOT_TAKEN = (TypeError, ValueError, OverflowError)
REFUSED = "exptrack/refused"
"""Why wandb did not take a row, in that row's place."""
_ALERT_LEVELS = {"info": "INFO", "warning": "WARN", "error": "ERROR"}


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `wandb.init` is told."""

    run: RunInfo
    destination: Destination
    settings: WandbSettings
    folder: Path
    """`runs/RUN_ID/`; wandb makes `wandb/` in it."""
    config: Mapping[str, Any]
    notes: str
    step_name: str


def project_of(run: RunInfo, settings: WandbSettings) -> str:
    return names.project_name(settings.project or run.project)


def session_settings(plan: Plan, stop: Callable[[], None]) -> dict[str, Any]:
    """The arguments of `wandb.Settings`: one run's, quiet and light. Pure."""
    run, destination, settings = plan.run, plan.destination, plan.settings
    return {
        "mode": destination.mode,
        "base_url": destination.base_url,
        "api_key": destination.api_key if destination.mode == "online" else None,
        "entity": destination.entity,
        "project": project_of(run, settings),
        "run_id": names.run_identity(run.run_id),
        "run_name": names.label(run.name),
        "run_group": names.label(run.group),
        "run_job_type": names.label(run.job_type),
        "run_tags": tuple(names.clean_tags(run.tags)) or None,
        "run_notes": plan.notes or None,
        "resume": "allow",
        "reinit": "create_new",
        "root_dir": str(plan.folder),
        "init_timeout": settings.init_timeout_s,
        "finish_timeout": settings.finish_timeout_s,
        "finish_timeout_raises": True,
        # Without a function of ours, wandb would send this process a SIGINT.
        "stop_fn": stop,
        "stop_on_fatal_error": True,
        "x_file_stream_transmit_interval": float(settings.transmit_interval_s),
        "x_file_stream_retry_wait_max_seconds": _RETRY_AT_LEAST_EVERY_S,
        "x_graphql_retry_wait_max_seconds": _RETRY_AT_LEAST_EVERY_S,
        "x_transaction_log_flush_interval": _LOG_FLUSH_S,
        **_QUIET,
    }


_QUIET = {
    "console": "off",
    "silent": True,
    "symlink": False,
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    # Else W&B shows the command of this worker as what the user ran.
    "program": "exptrack",
    "disable_job_creation": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}


class StallWatch:
    """Whether the service still writes down what it is given. Pure."""

    def __init__(self, limit_s: float = _STALL_S) -> None:
        self._limit_s = limit_s
        self._size = -1
        self._lines_at_growth = 0
        self._waiting_since: float | None = None

    def is_stalled(self, size: int, lines: int, now: float) -> bool:
        """Given the log's size and how many lines went in, ever."""
        if size != self._size:
            self._size, self._lines_at_growth, self._waiting_since = size, lines, None
        elif lines > self._lines_at_growth and self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since is not None and now - self._waiting_since > self._limit_s


class Session:
    """A run that is open at W&B. Any call may block for as long as the service hangs."""

    def __init__(self, wandb: Any, plan: Plan) -> None:
        self._wandb = wandb
        self._plan = plan
        self._stall = StallWatch()
        self._told_to_stop = told_to_stop = threading.Event()
        with _init_errors(wandb, plan):
            settings = wandb.Settings(**session_settings(plan, _plain(told_to_stop.set)))
            self._run = wandb.init(settings=settings, config=dict(plan.config))
        self._helper = find_helper()
        self.log_path = Path(self._run.settings.sync_file)
        self.lines_put = 0
        with self._service_errors():
            self._run.define_metric("*", step_metric=plan.step_name)

    @property
    def was_told_to_stop(self) -> bool:
        """By the Stop button, or because the server refused what was sent."""
        return self._told_to_stop.is_set()

    @property
    def starting_line(self) -> int:
        """The server's last line + 1, as it told wandb; 0 offline."""
        return int(self._run.starting_step)

    @property
    def entity(self) -> str | None:
        return self._run.entity or None

    @property
    def url(self) -> str | None:
        """Where the run stands in the browser; None offline."""
        return self._run.url or None

    @property
    def helper_pid(self) -> int | None:
        return self._helper.pid if self._helper else None

    def put(self, line: Line) -> str | None:
        """Log one line; the name of the file that came with it."""
        values, file = line.values, None
        if line.attachment is not None:
            media, file = self.attach(line)
            values = {**values, line.key: media}
        with self._service_errors():
            try:
                self._run.log(values, step=line.number, commit=True)
            except _NOT_TAKEN as error:
                # A line left out would shift all that follow.
                refused = {REFUSED: str(error)}
                self._run.log(refused, step=line.number, commit=True)
        self.lines_put += 1
        return file

    def attach(self, line: Line) -> tuple[Any, str]:
        """Give wandb the line's file, to be uploaded, under a name that depends on the line alone."""
        assert line.attachment is not None
        picture = self.log_path.with_name("picture.png")
        try:
            with self._service_errors():
                media = self._media(line.attachment, picture)
                media.bind_to_run(self._run, names.media_file_key(line.key), line.number)
                return media, str(media.to_json(self._run)["path"])
        finally:
            picture.unlink(missing_ok=True)

    def _media(self, attachment: Attachment, picture: Path) -> Any:
        if not isinstance(attachment, Picture):
            return self._wandb.Html(attachment.html, inject=False, data_is_not_path=True)
        picture.write_bytes(attachment.png)
        return self._wandb.Image(str(picture), caption=attachment.caption)

    def tell(self, config: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Set config keys and summary values."""
        with self._service_errors():
            if config:
                self._run.config.update(dict(config), allow_val_change=True)
            if summary:
                self._run.summary.update(dict(summary))

    def define(self, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Say what W&B's charts and summary make of metrics; what wandb does not take is left as it is."""
        with self._service_errors():
            for name, how in metrics.items():
                try:
                    self._run.define_metric(name, **{"step_metric": self._plan.step_name, **how})
                except (self._wandb.Error, *_NOT_TAKEN) as error:
                    logger.warning("W&B does not define metric %r so: %s", name, error)

    def note(self, notes: str) -> None:
        with self._service_errors():
            self._run.notes = notes

    def alert(self, alert: Alert) -> None:
        with self._service_errors():
            level = _ALERT_LEVELS[alert.level]
            self._run.alert(title=alert.title, text=alert.text or alert.title, level=level)

    def put_artifact(self, reference: Reference) -> None:
        """Tell W&B of a file; with `artifacts = "upload"` it is sent as well, after this has returned."""
        with self._service_errors(), self._artifact_errors(reference):
            made = self._wandb.Artifact(
                reference.name, type=reference.type, metadata=reference.metadata
            )
            path = Path(reference.path)
            if self._plan.settings.artifacts == "upload" and path.is_file():
                made.add_file(str(path), policy="immutable")
            elif self._plan.settings.artifacts == "upload" and path.is_dir():
                made.add_dir(str(path), policy="immutable")
            elif path.is_file() or reference.is_address:
                made.add_reference(reference.uri, name=path.name or "file", checksum=False)
            else:  # a folder would be listed file by file, and what is gone wandb does not take
                with made.new_file("where.json") as file:
                    json.dump({"path": reference.path}, file)
            self._run.log_artifact(made)

    def check_health(self, now: float) -> None:
        """Raise when the service has died or writes nothing down any more; asks nothing of it.

        Raises:
            WorkerMustRestart: it can only be replaced together with this process.
        """
        if self._helper is None or not is_alive(self._helper):
            raise WorkerMustRestart("wandb's service process has died")
        try:
            size = self.log_path.stat().st_size
        except FileNotFoundError:
            size = 0
        if self._stall.is_stalled(size, self.lines_put, now):
            kill_helper()
            raise WorkerMustRestart(f"wandb's service has hung for {_STALL_S:.0f} s")

    def finish(self, exit_code: int) -> bool:
        """Send the rest, within the timeout; whether wandb says that nothing is left.

        A code below zero is that of a signal: `-15` is SIGTERM's, which W&B gets as 143, like a shell.
        """
        try:
            if exit_code in PREEMPTED_CODES:
                self._run.mark_preempting()
            self._run.finish(exit_code=128 - exit_code if exit_code < 0 else exit_code)
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001  # whatever it is, the witness knows what arrived
            logger.warning("W&B run %s did not finish cleanly: %r.", self._plan.run.run_id, error)
            return False
        return not self.was_told_to_stop

    @contextmanager
    def _artifact_errors(self, reference: Reference) -> Iterator[None]:
        """What wandb does not take of one file would be refused again by the next worker."""
        try:
            yield
        except (*_NOT_TAKEN, OSError) as error:
            if isinstance(error, ConnectionError):
                raise
            logger.warning("W&B is not told of %s: %s", reference.path, error)

    @contextmanager
    def _service_errors(self) -> Iterator[None]:
        """What wandb raises without its service is listed nowhere, so whatever it is, it is that."""
        try:
            yield
        except SinkUnavailable:
            raise
        except Exception as error:
            raise WorkerMustRestart(f"wandb's service is gone: {error!r}") from error


@contextmanager
def _init_errors(wandb: Any, plan: Plan) -> Iterator[None]:
    try:
        yield
    except wandb.errors.CommError as error:
        says = str(error).strip() or "it refused the API key"
        url = plan.destination.base_url
        raise SinkUnavailable(f"W&B at {url} did not open the run: {says}") from error
    except Exception as error:
        raise WorkerMustRestart(f"wandb.init: {error!r}") from error


def _plain(act: Callable[[], None]) -> Callable[[], None]:
    """Wandb copies its settings deeply; a method would be copied with all that it belongs to."""

    def plain() -> None:
        act()

    return plain
