"""`wandb.Run`: W&B's steps and words over an exptrack run.

W&B collects a row until it is committed. Here every call is a row at once, at the step that W&B's rules give
it, so that nothing is lost with the process; readers join rows by step.
"""

from __future__ import annotations

import glob
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgpack

from exptrack_agent.compat.wandb import artifact as artifacts
from exptrack_agent.compat.wandb.errors import UsageError
from exptrack_agent.compat.wandb.mappings import Config, Summary
from exptrack_agent.compat.wandb.media import loggable
from exptrack_agent.compat.wandb.metrics import Goals, Metric
from exptrack_agent.exits import exit_code_of
from exptrack_agent.integrations.items import put_artifact, put_note
from exptrack_agent.jsontext import json_text
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run as ExptrackRun
from exptrack_agent.values import PLAIN_KINDS

_LEVELS = {"INFO": "info", "WARN": "warning", "WARNING": "warning", "ERROR": "error"}


class About(NamedTuple):
    """What W&B's run says of itself beyond what exptrack's does."""

    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] = ()
    resumed: bool = False
    allow_val_change: bool = False


class Run:
    """One run. Made by `wandb.init`.

    Attributes:
        exptrack: the run underneath, for everything else that exptrack can do.
    """

    def __init__(self, run: ExptrackRun, about: About, step: int = 0) -> None:
        self.exptrack = run
        self._about = about
        self._step = step
        self._goals = Goals()
        self._defined: dict[str, dict[str, Any]] = {}
        self._watches: list[Any] = []
        self.config = Config(run.config, allow_val_change=about.allow_val_change)
        self.summary = Summary(run.summary)
        self.start_time = time.time_ns() / 1e9
        self.starting_step = step
        self._tags, self._notes = about.tags, about.notes
        self._is_preempting = False

    # --- logging --------------------------------------------------------------------------------

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,
    ) -> None:
        """Record values.

        Args:
            data: numbers, texts, media, and mappings of these.
            step: where on the x axis; unlike W&B, a smaller one than before is kept too.
            commit: whether the next call without a step is one further; None: only without a step.
            sync: not needed.
        """
        if step is None:
            step = self._step
            if commit is None or commit:
                self._step = step + 1
        else:
            step = self._given_step(step, commit)
        if type(data) is dict and PLAIN_KINDS.issuperset(map(type, data.values())):
            self.exptrack.log(data, step)
        else:
            data = self._log_odd(data, step)
        if self._goals:
            self._goals.see(data)

    def _given_step(self, step: Any, commit: bool | None) -> int:
        at = int(step)
        if at >= self._step:
            self._step = at + 1 if commit else at
        return at

    def _log_odd(self, data: Any, step: int) -> Any:
        """Values that exptrack knows by other names, or that stand on a device."""
        if isinstance(data, Mapping):
            data = {name: loggable(value) for name, value in data.items()}
        self.exptrack.log(data, step)  # which says what is wrong with it, if anything is
        return data if isinstance(data, Mapping) else {}

    def define_metric(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
    ) -> Metric:
        """Say what a metric's summary is, and what W&B's charts have as x axis.

        Args:
            name: the metric, or `acc*` for all that begin so.
            step_metric: the metric that is W&B's x axis; exptrack's readers choose theirs.
            step_sync: for W&B.
            hidden: for W&B.
            summary: min, max, mean, first, best (with `goal`), last or none; several with commas.
            goal: "minimize" or "maximize".
            overwrite: not needed.

        Raises:
            ValueError: there is no such summary.
        """
        metric = self._goals.define(name, summary, goal)
        asked = {
            "step_metric": str(getattr(step_metric, "name", step_metric) or ""),
            "step_sync": step_sync,
            "hidden": hidden,
            "summary": ",".join(metric.kinds),
        }
        wanted = {key: value for key, value in asked.items() if value not in (None, "")}
        if name and wanted:
            self._defined[name] = wanted
            self._tell_wandb()
        return metric

    def _tell_wandb(self) -> None:
        """For the W&B sink, as a config update: what the wire has for things said after the start."""
        config = json_text({"_wandb": {"metrics": self._defined}}, "define_metric")
        update = {"kind": "config", "time_ns": time.time_ns(), "config": config}
        self.exptrack.put_item(msgpack.packb(update))

    def alert(
        self, title: str, text: str = "", level: Any = None, wait_duration: Any = None
    ) -> None:
        """Record something that a person should see."""
        word = str(getattr(level, "value", level) or "INFO").upper()
        self.exptrack.alert(title, text, _LEVELS.get(word, "warning"))

    # --- models and files -----------------------------------------------------------------------

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1_000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Record gradients, parameters or both every `log_freq` optimizer steps."""
        if log not in ("gradients", "parameters", "all", None):
            raise UsageError(f'log is "gradients", "parameters", "all" or None, not {log!r}')
        from exptrack_agent.torch import log_architecture, watch

        for model in models if isinstance(models, list | tuple) else [models]:
            if log_graph:
                log_architecture(self.exptrack, model)
            if log is not None:
                often = max(1, int(log_freq))
                weights = often if log != "gradients" else 0
                watching = watch(
                    self.exptrack,
                    model,
                    every=often,
                    histograms=often,
                    weights=weights,
                    step=lambda: self._step,
                )
                self._watches.append(watching)

    def unwatch(self, models: Any = None) -> None:
        """Watch no model any more."""
        for watching in self._watches:
            watching.close()
        self._watches = []

    def save(
        self, glob_str: str | Path = "", base_path: str | Path | None = None, policy: str = "live"
    ) -> list[str]:
        """Record the files of a pattern; they stay where they are."""
        paths = sorted(glob.glob(str(glob_str), recursive=True))  # noqa: PTH207  # any pattern, absolute or not
        for path in paths:
            name = str(Path(path).relative_to(base_path)) if base_path else Path(path).name
            put_artifact(self.exptrack, path, name=name, step=self._step)
        return paths

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002  # W&B's name
        aliases: Sequence[str] | None = None,
        **_others: Any,
    ) -> artifacts.Artifact:
        """Record the files of an artifact, of a file or of a folder; they stay where they are."""
        artifact = artifact_or_path
        if not isinstance(artifact, artifacts.Artifact):
            artifact = artifacts.of_path(artifact, name, type)
        artifacts.record(self.exptrack, artifact, aliases or (), self._step)
        return artifact

    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002  # W&B's name
        aliases: Sequence[str] | None = None,
        **_others: Any,
    ) -> artifacts.Artifact:
        """Write down that the run uses an artifact. There is none to download."""
        artifact = artifact_or_name
        if not isinstance(artifact, artifacts.Artifact):
            artifact = artifacts.Artifact(str(artifact), type or "artifact")
        put_note(self.exptrack, f"uses artifact {artifact.name}")
        return artifact

    def log_code(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        say_once(
            "wandb code", "log_code: code is not kept; ExperimentTracker records commit and diff"
        )

    def log_model(self, path: str | Path, name: str | None = None, **_others: Any) -> None:
        """Record a model's file or folder."""
        self.log_artifact(path, name, "model")

    def link_artifact(
        self, artifact: Any, target_path: str = "", *_others: Any, **_more: Any
    ) -> None:
        """Write down that an artifact was linked. There is no registry."""
        name = getattr(artifact, "name", artifact)
        put_note(self.exptrack, f"links artifact {name} to {target_path}")

    def link_model(self, path: str | Path, registered_model_name: str = "", **_others: Any) -> None:
        """Record a model's file or folder, and that it was linked. There is no registry."""
        self.log_artifact(path, None, "model")
        put_note(self.exptrack, f"links model {Path(path).name} to {registered_model_name}")

    def mark_preempting(self) -> None:
        """The run is `preempted` if it ends with an exit code other than 0."""
        self._is_preempting = True

    # --- what it is -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id."""
        return self.exptrack.id

    @property
    def name(self) -> str:
        """What people see."""
        return self.exptrack.name

    @name.setter
    def name(self, name: str) -> None:
        say_once("wandb name", "a run keeps the name it began with; give `name` to wandb.init")
        put_note(self.exptrack, f"renamed to {name}")

    @property
    def tags(self) -> tuple[str, ...]:
        """Short labels."""
        return self._tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        labels = (tags,) if isinstance(tags, str) else tuple(str(tag) for tag in tags)
        say_once("wandb tags", "a run keeps the tags it began with; `exptrack tag` gives it others")
        if labels != self._tags:
            put_note(self.exptrack, f"tags: {', '.join(labels)}")
        self._tags = labels

    @property
    def notes(self) -> str | None:
        """Free text; what is set later stands beside what the run began with."""
        return self._notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        if notes and notes != self._notes:
            put_note(self.exptrack, str(notes))
        self._notes = notes

    @property
    def step(self) -> int:
        """The step of the next call without one."""
        return self._step

    @property
    def project(self) -> str:
        """What the run belongs to."""
        return self.exptrack.project

    @property
    def entity(self) -> str:
        """W&B's team, if one was given."""
        return self._about.entity or ""

    @property
    def group(self) -> str:
        """What runs of one experiment share."""
        return self._about.group or ""

    @property
    def job_type(self) -> str:
        """Such as "train"."""
        return self._about.job_type or ""

    @property
    def resumed(self) -> bool:
        """Whether the run existed before."""
        return self._about.resumed

    @property
    def path(self) -> str:
        """ENTITY/PROJECT/ID."""
        return "/".join(part for part in (self.entity, self.project, self.id) if part)

    @property
    def dir(self) -> str:
        """A folder for the script's own files; made when it is first asked for."""
        folder = self.exptrack.home / "files" / self.id
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @property
    def url(self) -> None:
        """None: `exptrack show` has the run."""
        return

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps."""
        return

    @property
    def offline(self) -> bool:
        """Whether rows wait on disk for `exptrack recover`."""
        return self.exptrack.mode == "offline"

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded."""
        return self.exptrack.mode == "disabled"

    def get_url(self) -> None:
        """None: `exptrack show` has the run."""
        return

    get_project_url = get_sweep_url = get_url
    project_url = sweep_url = url

    project_name = get_project = lambda self: self.project

    # --- the end --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Write the summaries that `define_metric` asked for."""
        found = self._goals.found()
        if found and not self.exptrack.is_finished:
            self.exptrack.summary.update(found)

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run."""
        from exptrack_agent.compat.wandb import session

        self.unwatch()
        self.settle()
        code = exit_code or 0
        self.exptrack.finish(-signal.SIGTERM if code and self._is_preempting else code)
        session.forget(self)

    join = finish

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(exit_code_of(error))

    def __repr__(self) -> str:
        return f"<wandb drop-in of {self.exptrack!r}>"
