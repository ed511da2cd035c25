"""Keras 3: a callback for `model.fit(callbacks=[…])`.

    from exptrack_agent.integrations.keras import ExptrackCallback

    model.fit(x, y, validation_data=(x2, y2), callbacks=[ExptrackCallback(project="mnist")])

By default it listens to epochs only: with any callback that listens to batches Keras waits for the device
at every batch. `epoch/NAME` has the epoch on the x axis, `batch/NAME` the batches since the start, and
`test/NAME` the epoch before an `evaluate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from exptrack_agent.integrations.items import OwnedRun
from exptrack_agent.media import Text
from exptrack_agent.run import Run


class ExptrackCallback(keras.callbacks.Callback):  # type: ignore[misc]  # keras is untyped here
    """Logs what Keras measures.

    Args:
        project: what the run belongs to.
        run: a run that is under way, instead of one that the callback begins (and ends).
        batches: 0: epochs only; n: every n batches Keras' running means too. Makes Keras wait at every batch.
        log_model: record the model's summary as text.
        options: as for `exptrack_agent.init`.
    """

    def __init__(
        self,
        project: str = "keras",
        *,
        run: Run | None = None,
        batches: int = 0,
        log_model: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self._owned = OwnedRun(project, run, options)
        self._every = batches
        self._wants_model = log_model
        self._is_fitting = False
        self._batches = 0
        self._epoch = 0
        if batches:  # on the instance: that the class has such a method is what makes Keras wait
            self.on_train_batch_end = self._log_batch

    @property
    def run(self) -> Run | None:
        """The run; None before training began."""
        return self._owned.opened

    def finish(self, exit_code: int = 0) -> None:
        """End the run, unless it was handed in; else it ends with the program."""
        self._owned.finish(exit_code)

    # --- what Keras calls -----------------------------------------------------------------------

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Record how is trained, and what."""
        self._is_fitting = True
        run = self._owned.open()
        run.config.update({**(self.params or {}), **_about(self.model)})
        if self._wants_model:
            run.log({"model/summary": Text(f"```\n{_summary_of(self.model)}\n```")}, 0)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Training is over; an `evaluate` may follow."""
        self._is_fitting = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the epoch's metrics and the learning rate; stop if somebody asked the run to."""
        self._epoch = epoch
        named = {f"epoch/{name}": value for name, value in (logs or {}).items()}
        run = self._owned.open()
        run.log({**named, **_learning_rate(self.model)}, epoch)
        if run.stop_requested:
            self.model.stop_training = True

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Record an `evaluate`; the validation within `fit` stands in its epoch."""
        if self._is_fitting or not logs:
            return
        named = {f"test/{name}": value for name, value in logs.items()}
        self._owned.open().log(named, self._epoch)

    def _log_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        step = self._batches
        self._batches += 1
        if step % self._every == 0 and logs:
            self._owned.open().log({f"batch/{name}": value for name, value in logs.items()}, step)


def _about(model: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"model/name": model.name, "model/parameters": model.count_params()}
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        about["optimizer"] = optimizer.get_config()
    return about


def _summary_of(model: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines)


def _learning_rate(model: Any) -> dict[str, float]:
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return {} if rate is None else {"epoch/learning_rate": float(rate)}
