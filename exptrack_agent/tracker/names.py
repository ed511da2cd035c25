"""What each metric is called: one canonical name in the journal, and what each backend shows instead.

A table maps canonical names to shown ones. An entry `"epoch/*": "Epoch/*"` renames all that begins so; a
whole name goes before a beginning, a longer beginning before a shorter. What no entry names stays as it is.
The tables travel with the run (`sink_options`), and the sinks apply them.
"""

from __future__ import annotations

from collections.abc import Mapping

LOSS = "train/loss"
ACCURACY = "train/accuracy"
LEARNING_RATE = "train/learning_rate"
EPOCH = "train/epoch"
GRADIENT_NORM = "gradients/norm"
NAN_COUNT = "numerical_stability/nan_count"
INF_COUNT = "numerical_stability/inf_count"
CLIPPING_APPLIED = "numerical_stability/clipping_applied"
CLIPPING_THRESHOLD = "numerical_stability/clipping_threshold"
TRAINING_TIME = "performance/training_time"
MEMORY_USAGE = "performance/memory_usage"
GPU_UTILIZATION = "performance/gpu_utilization"
EPOCH_PREFIX = "epoch/"
TRAIN_PREFIX = "train/"

CANONICAL: Mapping[str, str] = {
    "loss": LOSS,
    "accuracy": ACCURACY,
    "learning_rate": LEARNING_RATE,
    "gradient_norm": GRADIENT_NORM,
    "nan_count": NAN_COUNT,
    "inf_count": INF_COUNT,
    "clipping_applied": CLIPPING_APPLIED,
    "clipping_threshold": CLIPPING_THRESHOLD,
    "training_time": TRAINING_TIME,
    "memory_usage": MEMORY_USAGE,
    "gpu_utilization": GPU_UTILIZATION,
}
"""By keyword of `log_training_step`. Any other keyword `x` is `train/x`."""

TENSORBOARD: Mapping[str, str] = {
    LOSS: "Loss/Train",
    ACCURACY: "Accuracy/Train",
    LEARNING_RATE: "Learning_Rate",
    GRADIENT_NORM: "Gradients/Norm",
    NAN_COUNT: "Numerical_Stability/NaN_Count",
    INF_COUNT: "Numerical_Stability/Inf_Count",
    CLIPPING_APPLIED: "Numerical_Stability/Clipping_Applied",
    CLIPPING_THRESHOLD: "Numerical_Stability/Clipping_Threshold",
    TRAINING_TIME: "Performance/Training_Time",
    MEMORY_USAGE: "Performance/Memory_Usage",
    GPU_UTILIZATION: "Performance/GPU_Utilization",
    "epoch/*": "Epoch/*",
}

WANDB: Mapping[str, str] = {}
"""W&B shows the canonical names."""
WANDB_STEP = "train/step"
"""The metric that W&B's charts of a tracker's run have as x axis."""

TABLES: Mapping[str, Mapping[str, str]] = {"tensorboard": TENSORBOARD, "wandb": WANDB}


def table_for(sink: str, own: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """A sink's names, with the user's own before the usual ones."""
    return {**TABLES[sink], **own.get(sink, {})}
