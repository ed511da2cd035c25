"""Lightning: a `Logger` for `Trainer(logger=…)`.

    from exptrack_agent.integrations.lightning import ExptrackLogger

    trainer = Trainer(logger=ExptrackLogger(project="mnist", tags=["baseline"]))

Only rank 0 records, as Lightning's loggers do. `fit`, `validate` and `test` of one logger go into one run,
which ends with the program, at `logger.finish()`, or (as failed) with an exception that a trainer meets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

try:
    from lightning.fabric.utilities.rank_zero import rank_zero_only
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
except ImportError:  # the same under the older distribution's name
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

from exptrack_agent.exits import exit_code_of
from exptrack_agent.integrations.items import OwnedRun, put_artifact
from exptrack_agent.run import Run


class ExptrackLogger(Logger):  # type: ignore[misc]  # Lightning is untyped here
    """Logs what a `LightningModule` logs.

    Args:
        project: what the run belongs to.
        run: a run that is under way, instead of one that the logger begins (and ends).
        save_dir: where Lightning puts checkpoints; None: the trainer's `default_root_dir`.
        prefix: put before every metric's name, with a `/`.
        log_graph: record the module's layers, and its graph if it has an `example_input_array`.
        log_checkpoints: record each checkpoint's path, score and size.
        options: as for `exptrack_agent.init`.
    """

    def __init__(
        self,
        project: str = "lightning",
        *,
        run: Run | None = None,
        save_dir: str | None = None,
        prefix: str = "",
        log_graph: bool = False,
        log_checkpoints: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self._owned = OwnedRun(project, run, options)
        self._save_dir = save_dir
        self._prefix = f"{prefix}/" if prefix else ""
        self._wants_graph = log_graph
        self._wants_checkpoints = log_checkpoints
        self._last_step = 0
        self._recorded: dict[str, float] = {}
        """Checkpoints by path, with the time they were written at."""

    @property
    @rank_zero_experiment  # type: ignore[untyped-decorator]  # Lightning is untyped here
    def experiment(self) -> Run:
        """The `Run`; on other ranks than 0 something that takes every call and does nothing."""
        return self._owned.open()

    @property
    def name(self) -> str:
        """The project: the first part of where Lightning puts checkpoints."""
        return self._owned.project

    @property
    def version(self) -> str | None:
        """The run's id: the second part of it."""
        if rank_zero_only.rank == 0:
            return self._owned.open().id
        return self._owned.id

    @property
    def save_dir(self) -> str | None:
        """Where checkpoints go, below it PROJECT/RUN."""
        return self._save_dir

    @property
    def root_dir(self) -> str | None:
        """The project's folder, if there is a `save_dir`."""
        return str(Path(self._save_dir, self.name)) if self._save_dir is not None else None

    @property
    def log_dir(self) -> str | None:
        """The run's folder, if there is a `save_dir`."""
        if self._save_dir is None or self.version is None:
            return None
        return str(Path(self._save_dir, self.name, self.version))

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics at a step; Lightning hands over floats."""
        if self._prefix:
            metrics = {self._prefix + name: value for name, value in metrics.items()}
        if step is not None:
            self._last_step = step
        self.experiment.log(metrics, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Record hyperparameters as config; with metrics also for TensorBoard's HParams page."""
        values = dict(params) if isinstance(params, Mapping) else dict(vars(params))
        if values:
            self.experiment.config.update(values)
        if metrics:
            self.experiment.log_hparams(values, metrics)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Record layers and graph, if the logger was asked to: once, though Lightning asks often."""
        if not self._wants_graph:
            return
        self._wants_graph = False
        from exptrack_agent.torch import log_architecture

        sample = input_array if input_array is not None else _example_of(model)
        if sample is not None and hasattr(model, "_apply_batch_transfer_handler"):
            sample = model._on_before_batch_transfer(sample)  # noqa: SLF001  # Lightning's loggers do so
            sample = model._apply_batch_transfer_handler(sample)  # noqa: SLF001
        log_architecture(self.experiment, model, sample)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def watch(self, model: Any, optimizer: Any = None, **options: Any) -> Any:
        """Record gradients and more: `exptrack_agent.torch.watch` with this logger's run."""
        from exptrack_agent.torch import watch

        return watch(self.experiment, model, optimizer, **options)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Record checkpoints that are new or were written again."""
        if not self._wants_checkpoints:
            return
        for found in _checkpoints_of(checkpoint_callback):
            if self._recorded.get(found.path, -1.0) >= found.written:
                continue
            self._recorded[found.path] = found.written
            put_artifact(
                self.experiment,
                found.path,
                name=Path(found.path).name,
                kind="checkpoint",
                step=self._last_step,
                metadata={"monitor": found.monitor, "score": found.score, "is": found.tag},
            )

    @rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        """A trainer is done. The run goes on, for a `test` after a `fit`, unless it failed."""
        if status != "success":
            self.finish(exit_code_of(sys.exception()) or 1)

    def finish(self, exit_code: int = 0) -> None:
        """End the run, unless it was handed in."""
        self._owned.finish(exit_code)


class _Found(NamedTuple):
    path: str
    written: float
    score: float | None
    tag: str
    monitor: str | None


def _checkpoints_of(callback: Any) -> Iterator[_Found]:
    """What a checkpoint callback holds now, the oldest first."""
    best, last = getattr(callback, "best_model_path", ""), getattr(callback, "last_model_path", "")
    scores = dict(getattr(callback, "best_k_models", {}) or {})
    if best:
        scores.setdefault(best, getattr(callback, "best_model_score", None))
    if last:
        scores.setdefault(last, getattr(callback, "current_score", None))
    found = []
    for path, score in scores.items():
        try:
            written = Path(path).stat().st_mtime
        except OSError:  # on a remote file system, or gone again
            written = 0.0
        tag = "best" if path == best else "last" if path == last else "kept"
        number = float(score) if score is not None else None
        found.append(_Found(path, written, number, tag, getattr(callback, "monitor", None)))
    return iter(sorted(found, key=lambda one: one.written))


def _example_of(model: Any) -> Any:
    return getattr(model, "example_input_array", None)
