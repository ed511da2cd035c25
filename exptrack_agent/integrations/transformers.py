"""Hugging Face Trainer: a callback, and the name "exptrack" for `report_to`.

    import exptrack_agent.integrations.transformers             # makes the name known
    TrainingArguments(report_to="exptrack", run_name="wide", …)

    Trainer(callbacks=[ExptrackCallback(project="glue", tags=["baseline"])], …)     # or by hand

Names are those of HF's own callbacks: `eval_x` becomes `eval/x`, `test_x` `test/x`, all else `train/x`. Only
the world's first process records. The run ends with the program, or at `callback.finish()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from exptrack_agent.integrations.items import OwnedRun, put_artifact
from exptrack_agent.run import Run

_PREFIXES = ("eval", "test")


class ExptrackCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Logs what a Trainer logs, its arguments and its model's configuration.

    Args:
        project: what the run belongs to.
        run: a run that is under way, instead of one that the callback begins (and ends).
        log_checkpoints: record the path and size of each checkpoint.
        options: as for `exptrack_agent.init`; `name` is the arguments' `run_name` if not given.
    """

    def __init__(
        self,
        project: str = "huggingface",
        *,
        run: Run | None = None,
        log_checkpoints: bool = True,
        **options: Any,
    ) -> None:
        self._owned = OwnedRun(project, run, options)
        self._wants_checkpoints = log_checkpoints

    @property
    def run(self) -> Run | None:
        """The run; None before training began, and on other processes than the first."""
        return self._owned.opened

    def finish(self, exit_code: int = 0) -> None:
        """End the run, unless it was handed in."""
        self._owned.finish(exit_code)

    # --- what the Trainer calls -----------------------------------------------------------------

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_others: Any
    ) -> None:
        """Begin the run; record arguments and model."""
        if not state.is_world_process_zero:
            return
        self._open(args).config.update({**args.to_sanitized_dict(), **_about(model)})

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **_others: Any,
    ) -> None:
        """Record what the Trainer logs; stop it after this step if somebody asked the run to stop."""
        if not (state.is_world_process_zero and logs):
            return
        run = self._open(args)
        run.log(_named(logs), state.global_step)
        if run.stop_requested:
            control.should_training_stop = True

    def on_predict(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **_others: Any
    ) -> None:
        """Record the metrics of `predict`, which the Trainer does not log."""
        self.on_log(args, state, control, logs=metrics)

    def on_save(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
        """Record where the checkpoint is."""
        if not (state.is_world_process_zero and self._wants_checkpoints):
            return
        step = state.global_step
        path = Path(args.output_dir, f"checkpoint-{step}")
        if path.is_dir():
            metadata = {"epoch": state.epoch, "best_metric": state.best_metric}
            put_artifact(
                self._open(args),
                path,
                name=path.name,
                kind="checkpoint",
                step=step,
                metadata=metadata,
            )

    def _open(self, args: Any) -> Run:
        return self._owned.open(name=_name_of(args))


def _named(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The names as HF's own callbacks have them."""
    named = {}
    for name, value in logs.items():
        kind, _, rest = name.partition("_")
        named[f"{kind}/{rest}" if kind in _PREFIXES and rest else f"train/{name}"] = value
    return named


def _about(model: Any) -> dict[str, Any]:
    if model is None:
        return {}
    about: dict[str, Any] = {"model/class": type(model).__name__}
    if hasattr(model, "num_parameters"):
        about["model/parameters"] = model.num_parameters()
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        about["model/config"] = config.to_dict()
    return about


def _name_of(args: Any) -> str | None:
    """`run_name`, unless it is the output folder, which older versions put there by themselves."""
    name = getattr(args, "run_name", None)
    return str(name) if name and name != getattr(args, "output_dir", None) else None


INTEGRATION_TO_CALLBACK.setdefault("exptrack", ExptrackCallback)
