"""`ExperimentTracker`: training's own words over a run. Everything goes through `Run`, nothing around it.

The step's call is the hot path: it names the values and hands them to `Run.log`, half a microsecond. All else
may take longer, and what goes wrong in it that is not the caller's doing is said once and kept from training.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from exptrack_agent.errors import Misuse
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.kept import health_of, kept_from_training, mapping_of
from exptrack_agent.tracker.metrics import ModelCheckpoint
from exptrack_agent.tracker.names import EPOCH, EPOCH_PREFIX, TRAIN_PREFIX
from exptrack_agent.tracker.opening import checkpoint_folder, open_run
from exptrack_agent.tracker.pictures import Visualization, put_items
from exptrack_agent.tracker.recorded import RecordedState
from exptrack_agent.tracker.shown import named_images, named_texts
from exptrack_proto.limits import MAX_JSON_BYTES

_GATHERED_WITHIN_S = 6.0
_PICTURES_WITHIN_S = 30.0
_DAEMON_UP_WITHIN_S = 15.0


class ExperimentTracker:
    """Tracks one run of an experiment.

    Args:
        config: what to track; else the defaults of `ExperimentConfig`.
        run: a run that is under way, instead of one that the tracker begins (and ends).
        seeds: seeds that you set, by what they were set in; torch's and NumPy's are asked.
        home: the home folder; else EXPTRACK_HOME, else ~/.exptrack.
        mode: as for `exptrack_agent.init`.
        autostart: start a daemon when none is running.
        strict: raise `Misuse` for values that cannot be logged, instead of saying it once.

    Raises:
        Misuse: a folder of the configuration cannot be used, or as for `exptrack_agent.init`.

    Attributes:
        config: the configuration.
        run: the `Run` underneath, for everything that has no word of its own here.
    """

    def __init__(  # noqa: PLR0913  # what a user may say about a run
        self,
        config: ExperimentConfig | None = None,
        *,
        run: Run | None = None,
        seeds: Mapping[str, int] | None = None,
        home: str | os.PathLike[str] | None = None,
        mode: str | None = None,
        autostart: bool = True,
        strict: bool = False,
    ) -> None:
        self.config = config if config is not None else ExperimentConfig()
        self._owns_run = run is None
        self._state = RecordedState(self.config)
        options = {"home": home, "mode": mode, "autostart": autostart, "strict": strict}
        self.run = run if run is not None else open_run(self.config, options)
        self._began_s = time.monotonic()
        self._step = -1
        self._epoch: int | None = None
        self._steps_recorded = 0
        self._interval = self.config.log_interval
        self._is_mute = not self.config.log_metrics
        self._checkpoint_folder = checkpoint_folder(self.config, self.run)
        self._checkpoints: Any = None
        self._pictures: list[Visualization] = []
        self._state.begin(self.run, dict(seeds or {}))
        if self.config.model_save_dir is not None and "torch" in sys.modules:
            self._opened_checkpoints()  # now, so that the first save finds its memory made

    # --- the step ---------------------------------------------------------------------------------

    def log_training_step(  # noqa: C901, PLR0912, PLR0913  # the hot path: a loop over the names would double it
        self,
        *,
        step: int | None = None,
        epoch: int | None = None,
        loss: Any = None,
        accuracy: Any = None,
        learning_rate: Any = None,
        gradient_norm: Any = None,
        nan_count: Any = None,
        inf_count: Any = None,
        clipping_applied: Any = None,
        clipping_threshold: Any = None,
        training_time: Any = None,
        memory_usage: Any = None,
        gpu_utilization: Any = None,
        **others: Any,
    ) -> None:
        """Record what a training step measured; returns in about two microseconds and never waits.

        Of the steps that `log_interval` does not divide only the number is kept.

        Args:
            step: number of the step; None: one more than in the last call (0 at first).
            epoch: number of the epoch, from now on.
            loss: and the other names: numbers, or 0-d tensors; None: not measured.
            accuracy: of this step.
            learning_rate: that this step used.
            gradient_norm: total norm, before clipping.
            nan_count: NaN gradients.
            inf_count: infinite gradients.
            clipping_applied: whether the gradients were clipped.
            clipping_threshold: the norm they are clipped to.
            training_time: seconds that the step took.
            memory_usage: in your unit.
            gpu_utilization: 0 … 100.
            others: any other metric `x`, kept as `train/x`.
        """
        if step is None:
            step = self._step + 1
        elif type(step) is not int:
            step = self._whole_step(step)
        self._step = step
        if epoch is not None:
            self._epoch = epoch
        if step % self._interval or self._is_mute:
            return
        row: dict[str, Any] = {}
        if loss is not None:
            row["train/loss"] = loss
        if accuracy is not None:
            row["train/accuracy"] = accuracy
        if learning_rate is not None:
            row["train/learning_rate"] = learning_rate
        if gradient_norm is not None:
            row["gradients/norm"] = gradient_norm
        if nan_count is not None:
            row["numerical_stability/nan_count"] = nan_count
        if inf_count is not None:
            row["numerical_stability/inf_count"] = inf_count
        if clipping_applied is not None:
            row["numerical_stability/clipping_applied"] = clipping_applied
        if clipping_threshold is not None:
            row["numerical_stability/clipping_threshold"] = clipping_threshold
        if training_time is not None:
            row["performance/training_time"] = training_time
        if memory_usage is not None:
            row["performance/memory_usage"] = memory_usage
        if gpu_utilization is not None:
            row["performance/gpu_utilization"] = gpu_utilization
        if others:
            row |= {TRAIN_PREFIX + name: value for name, value in others.items()}
        if self._epoch is not None:
            row[EPOCH] = self._epoch
        self._steps_recorded += 1
        self.run.log(row, step)

    def _whole_step(self, step: Any) -> int:
        """A step that is no plain int: its number, or the next one when it has none."""
        try:
            whole = int(step)
        except (TypeError, ValueError, OverflowError):
            whole = None
        if whole is None or whole != step:
            say_once(
                "tracker step", f"a step is a whole number, not {step!r:.80}; the next was used"
            )
            return self._step + 1
        return whole

    @property
    def current_step(self) -> int:
        """The last step that was told; 0 before the first."""
        return max(0, self._step)

    @property
    def current_epoch(self) -> int:
        """The last epoch that was told; 0 before the first."""
        return self._epoch or 0

    # --- what stands beside the steps ---------------------------------------------------------------

    def log_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Record the metrics of an epoch as `epoch/NAME`, with the epoch on the x axis.

        `epoch/step` says at which training step it was.
        """
        self._epoch = epoch
        if self._is_mute:
            return
        with kept_from_training("the metrics of an epoch"):
            named = {EPOCH_PREFIX + str(name): value for name, value in dict(metrics).items()}
            self.run.log({**named, "epoch/step": self.current_step}, epoch)

    def log_hyperparameters(
        self, hyperparameters: Any, metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Record hyperparameters, and the metrics they led to if those are known already.

        Args:
            hyperparameters: a mapping, nested if you like, an argparse namespace or a dataclass.
            metrics: by name.
        """
        if not self.config.log_hyperparameters:
            return
        with kept_from_training("hyperparameters"):
            named = mapping_of(hyperparameters)
            self.run.config.update(named)
            self.run.log_hparams(named, metrics)

    def log_model_architecture(self, model: Any, sample_input: Any = None) -> dict[str, Any]:
        """Record a model's layers and sizes; with a sample input also its graph.

        Returns:
            What `exptrack_agent.torch.architecture.describe` says; `{}` when nothing was recorded.
        """
        described: dict[str, Any] = {}
        if not self.config.log_model_architecture:
            return described
        with kept_from_training("the model's architecture"):
            architecture = importlib.import_module("exptrack_agent.torch.architecture")
            described = architecture.describe(model, sample_input)
            sizes = {f"model/{key}": described[key] for key in ("parameters", "trainable", "bytes")}
            self.run.summary.update(sizes)
            self._put_shown(named_texts("model/architecture", described["text"]))
            self._put_graph(described.get("nodes"))
        return described

    def log_gradients(self, model: Any, step: int | None = None) -> None:
        """Record the gradients that stand in a model now, at the steps that `log_interval` divides.

        `log_gradients`, `log_gradient_norms` and `log_nan_inf_counts` of the configuration say what of them.
        """
        config = self.config
        asked = config.log_gradients or config.log_gradient_norms or config.log_nan_inf_counts
        at = self.current_step if step is None else step
        if not asked or at % self._interval:
            return
        with kept_from_training("gradients"):
            gradients = importlib.import_module("exptrack_agent.torch.gradients")
            gradients.log_gradients(
                self.run,
                model,
                at,
                norms=config.log_gradient_norms,
                nan_inf=config.log_nan_inf_counts,
                histograms=config.log_gradients,
            )

    def log_images(
        self,
        images: Mapping[str, Any] | str,
        data: Any = None,
        *,
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Record images: a mapping of names to them, or a name and an image, or a batch of up to sixteen."""
        if self.config.log_images:
            with kept_from_training("an image"):
                self._put_shown(named_images(images, data, caption), step)

    def log_text(
        self, texts: Mapping[str, Any] | str, text: object = "", *, step: int | None = None
    ) -> None:
        """Record texts (Markdown): a mapping of names to texts, or a name and a text."""
        if self.config.log_text:
            with kept_from_training("a text"):
                self._put_shown(named_texts(texts, text), step)

    def _put_shown(self, shown: Mapping[str, Any], step: int | None = None) -> None:
        if shown:
            self.run.log(shown, self.current_step if step is None else step)

    def _put_graph(self, nodes: Any) -> None:
        if not nodes:
            return
        text = json.dumps(nodes)
        if len(text) > MAX_JSON_BYTES:
            say_once("graph", f"the model's graph has {len(nodes)} nodes, too many to be shown")
            return
        put_items(self.run, [{"kind": "graph", "time_ns": time.time_ns(), "nodes": text}])

    # --- checkpoints --------------------------------------------------------------------------------

    def is_save_due(self, step: int | None = None) -> bool:
        """Whether `save_interval` divides the step (the current one when none is given), and it is not 0."""
        at = self.current_step if step is None else step
        return at > 0 and at % self.config.save_interval == 0

    def save_checkpoint(  # noqa: PLR0913  # what a checkpoint holds
        self,
        model: Any,
        optimizer: Any,
        epoch: int,
        step: int,
        loss: Any,
        metrics: Mapping[str, Any] | None = None,
        scheduler: Any = None,
    ) -> Path:
        """Save a checkpoint now, whatever `save_interval` says, and record it with the run.

        Returns:
            The file's path, in `model_save_dir`.
        """
        saved: Path = self._opened_checkpoints().save(
            model,
            optimizer,
            epoch=epoch,
            step=step,
            loss=loss,
            metrics=dict(metrics or {}),
            scheduler=scheduler,
            config=self.config.to_dict(),
        )
        return saved

    def load_checkpoint(self, path: str | os.PathLike[str] | None = None) -> ModelCheckpoint | None:
        """Read a checkpoint (the newest when no path is given); steps and epochs go on from it.

        Returns:
            The checkpoint, for `load_state_dict`; None when there is none yet.
        """
        return self._gone_on_from(self._opened_checkpoints().load(path))

    def restore_checkpoint(
        self,
        model: Any,
        optimizer: Any = None,
        scheduler: Any = None,
        path: str | os.PathLike[str] | None = None,
    ) -> ModelCheckpoint | None:
        """Put model, optimizer, schedule and random numbers back; steps and epochs go on from there.

        Of a model that is spread over ranks (`fully_shard`) all of them call it.

        Returns:
            The checkpoint (the newest whole one when no path is given); None when there is none yet.
        """
        restored = self._opened_checkpoints().restore(model, optimizer, scheduler, path)
        return self._gone_on_from(restored)

    def _gone_on_from(self, loaded: Mapping[str, Any] | None) -> ModelCheckpoint | None:
        if loaded is None:
            return None
        checkpoint = ModelCheckpoint.of(loaded)
        self._step, self._epoch = checkpoint.step, checkpoint.epoch
        return checkpoint

    def _opened_checkpoints(self) -> Any:
        if self._checkpoints is None:
            part = importlib.import_module("exptrack_agent.torch.checkpoints")
            self._checkpoints = part.Checkpoints(self._checkpoint_folder, self.run)
        return self._checkpoints

    # --- looking at it ------------------------------------------------------------------------------

    def create_visualization(
        self, save_path: str | os.PathLike[str] | None = None, *, wait: bool | None = None
    ) -> Visualization:
        """Draw loss, accuracy, gradient norm and NaN/Inf counts so far, and log the picture to every sink.

        Another process draws it from what the daemon holds. With `save_path` the call returns when the file
        stands there; without, at once: then training goes on, and the picture follows (one at a time).

        Args:
            save_path: where to put the PNG.
            wait: whether to wait for it; None: only for `save_path`.

        Returns:
            The data drawn, by panel; looking into it waits until it is there.

        Raises:
            Misuse: the folder of `save_path` is missing.
        """
        path = Path(save_path).expanduser().absolute() if save_path is not None else None
        if path is not None and not path.parent.is_dir():
            raise Misuse(f"save_path {path} is in a folder that does not exist")
        shall_wait = path is not None if wait is None else wait
        under_way = [one for one in self._pictures if not one.wait(0)]
        if under_way and path is None and not shall_wait:
            return under_way[-1]  # asked again at every step, it must not become a process a step
        picture = Visualization(self.run, self.current_step, path, log=self.config.log_images)
        self._pictures = [*under_way, picture]
        if shall_wait:
            picture.wait()
        return picture

    def get_experiment_summary(self) -> dict[str, Any]:
        """What the experiment is and how far it got."""
        return {
            "experiment_name": self.config.experiment_name,
            "project_name": self.config.project_name,
            "run_name": self.run.name,
            "run_id": self.run.id,
            "home": str(self.run.home),
            "tags": list(self.config.tags),
            "sinks": list(self.config.sinks),
            "current_step": self.current_step,
            "current_epoch": self.current_epoch,
            "steps_recorded": self._steps_recorded,
            "elapsed_s": time.monotonic() - self._began_s,
            "metrics": dict(self.run.summary),
            "hyperparameters": dict(self.run.config),
            "config": self.config.to_dict(),
        }

    def health(self) -> dict[str, Any]:
        """Whether all is well, what is not, and what became of the rows.

        Returns:
            `ok`; `problems`, in words; `is_daemon_running`; and what `run.stats()` says.
        """
        problem = self._state.problem
        known = [f"what reproduces the run was not kept: {problem}"] if problem else []
        had_time = time.monotonic() - self._began_s > _DAEMON_UP_WITHIN_S
        return health_of(self.run, known, had_time=had_time)

    # --- the end ------------------------------------------------------------------------------------

    def close(self, exit_code: int = 0) -> None:
        """Wait a bounded time for what is under way, then end the run, unless it was handed in."""
        self._state.wait(_GATHERED_WITHIN_S)
        patience_s = _PICTURES_WITHIN_S if exit_code == 0 else _GATHERED_WITHIN_S
        deadline = time.monotonic() + patience_s
        for picture in self._pictures:
            picture.wait(max(0.0, deadline - time.monotonic()))
        close = getattr(self._checkpoints, "close", None)
        if close is not None:
            close()
        if self._owns_run:
            self.run.finish(exit_code)

    def __enter__(self) -> ExperimentTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_clean = kind is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self.close(0 if is_clean else 1)

    def __repr__(self) -> str:
        return f"<exptrack tracker of {self.run!r}, step {self.current_step}>"
