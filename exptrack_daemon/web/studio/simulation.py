"""The studio's simulation: a real, small training through the real agent, as a user would write it.

A process of its own: `python -m exptrack_daemon.web.studio.simulation --config FILE --steps 500 …`. The home
and the run's id come from the environment. SIGTERM, or a request to stop, ends it after the current step:
what was learned so far is validated and the run is finished in order.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

import exptrack_agent as xt
from exptrack_daemon.web.studio.simulated import Array, Model, map_of, new_model, spiral

_VALIDATION_POINTS = 240
_MOST_VALIDATIONS = 20
_SEED = 0
_say = sys.stdout.write


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user chose."""

    steps: int
    learning_rate: float
    batch_size: int
    max_gradient_norm: float
    pause_s: float
    """After each step, so that one can watch."""


class Simulation:
    """One training, until `stop` is set."""

    def __init__(
        self, tracker: xt.ExperimentTracker, settings: Settings, stop: threading.Event
    ) -> None:
        self._stop = stop
        self._tracker = tracker
        self._settings = settings
        self._model: Model = new_model(_SEED)
        points, labels = spiral(_SEED)
        self._train = points[_VALIDATION_POINTS:], labels[_VALIDATION_POINTS:]
        self._valid = points[:_VALIDATION_POINTS], labels[:_VALIDATION_POINTS]

    def run(self) -> int:
        """Train; returns the number of steps that were taken."""
        settings, tracker = self._settings, self._tracker
        tracker.log_hyperparameters(asdict(settings))
        if self._model.module is not None:
            tracker.log_model_architecture(self._model.module)
        every = max(1, settings.steps // _MOST_VALIDATIONS)
        step, is_validated = -1, False
        for step, (x, y) in zip(range(settings.steps), self._batches(), strict=False):
            self._step(step, x, y)
            is_validated = step % every == every - 1
            if is_validated:
                self._validate(step // every)
            if self._stop.wait(settings.pause_s) or tracker.run.stop_requested:
                break
        if not is_validated:
            self._validate((step + 1) // every)
        return step + 1

    def _batches(self) -> Iterator[tuple[Array, Array]]:
        points, labels = self._train
        random = np.random.default_rng(_SEED)
        while True:
            chosen = random.integers(0, len(labels), self._settings.batch_size)
            yield points[chosen], labels[chosen]

    def _step(self, step: int, x: Array, y: Array) -> None:
        settings = self._settings
        began_s = time.perf_counter()
        found = self._model.train(x, y, settings.learning_rate, settings.max_gradient_norm)
        self._tracker.log_training_step(
            step=step,
            loss=found.loss,
            accuracy=found.accuracy,
            learning_rate=settings.learning_rate,
            gradient_norm=found.gradient_norm,
            nan_count=found.nan_count,
            inf_count=found.inf_count,
            clipping_applied=found.is_clipped,
            clipping_threshold=settings.max_gradient_norm,
            training_time=time.perf_counter() - began_s,
        )
        if self._tracker.config.log_gradients and self._model.module is not None:
            self._tracker.log_gradients(self._model.module, step)

    def _validate(self, epoch: int) -> None:
        found = self._model.validate(*self._valid)
        self._tracker.log_epoch(epoch, {"val_loss": found.loss, "val_accuracy": found.accuracy})
        self._tracker.log_images(
            "map", map_of(self._model), caption=f"accuracy {found.accuracy:.2f}"
        )
        step = self._tracker.current_step
        _say(f"step {step}: loss {found.loss:.4f}, accuracy {found.accuracy:.3f}\n")


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    settings = Settings(
        steps=options.steps,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        max_gradient_norm=options.max_gradient_norm,
        pause_s=options.pause_ms / 1000,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    _say("loading …\n")
    config = xt.ExperimentConfig.load(options.config)
    with xt.ExperimentTracker(config) as tracker:
        simulation = Simulation(tracker, settings, stop)
        _say(f"run {tracker.run.id} ({tracker.run.name}): {settings.steps} steps\n")
        steps = simulation.run()
        tracker.log_text("report", f"{steps} of {settings.steps} steps were taken.")
    _say(f"ended after {steps} steps\n" if steps == settings.steps else f"stopped after {steps}\n")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=0.3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-gradient-norm", type=float, default=1.0)
    parser.add_argument("--pause-ms", type=float, default=20.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
