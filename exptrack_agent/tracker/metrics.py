"""What training says at a step, and what a checkpoint holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class TrainingMetrics:
    """One training step's numbers; None: not measured.

    `tracker.log_training_step(**metrics.values(), step=step)` records them.

    Attributes:
        loss: of this step.
        accuracy: of this step, 0 … 1.
        learning_rate: that this step used.
        gradient_norm: total norm, before clipping.
        nan_count: NaN gradients.
        inf_count: infinite gradients.
        clipping_applied: whether the gradients were clipped.
        clipping_threshold: the norm they are clipped to.
        training_time: seconds that the step took.
        memory_usage: of the training process or device, in the user's unit.
        gpu_utilization: 0 … 100.
    """

    loss: float | None = None
    accuracy: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    nan_count: int | None = None
    inf_count: int | None = None
    clipping_applied: bool | None = None
    clipping_threshold: float | None = None
    training_time: float | None = None
    memory_usage: float | None = None
    gpu_utilization: float | None = None

    def values(self) -> dict[str, Any]:
        """Those that were measured, by name."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in named if value is not None}


@dataclass(slots=True)
class ModelCheckpoint:
    """A point that training can go on from.

    Attributes:
        epoch: epochs begun.
        step: training steps done.
        loss: at that step.
        metrics: others at that step.
        model_state: the model's `state_dict()`.
        optimizer_state: the optimizer's.
        scheduler_state: the learning rate schedule's; None when there was none.
        timestamp: when it was saved, Unix time in seconds.
    """

    epoch: int = 0
    step: int = 0
    loss: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    model_state: dict[str, Any] = field(default_factory=dict)
    optimizer_state: dict[str, Any] = field(default_factory=dict)
    scheduler_state: dict[str, Any] | None = None
    timestamp: float = field(default_factory=lambda: time.time_ns() / 1e9)

    @classmethod
    def of(cls, loaded: Mapping[str, Any]) -> ModelCheckpoint:
        """From what a checkpoint file holds; `model_state` stands there as `model_state_dict`, and so on."""
        found = {}
        for name in (each.name for each in fields(cls)):
            value = loaded.get(name, loaded.get(f"{name}_dict"))
            if value is not None:
                found[name] = value
        return cls(**found)
