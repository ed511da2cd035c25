"""What names of metrics tell: which ones one looks at first, and when they are best. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

Goal: TypeAlias = Literal["min", "max"]

TRAINING_METRICS: Mapping[str, Sequence[str]] = {
    "loss": ("train/loss", "loss", "train_loss", "epoch/loss"),
    "accuracy": ("train/accuracy", "accuracy", "train_accuracy", "val/accuracy", "epoch/accuracy"),
    "gradient_norm": ("gradients/norm", "train/gradient_norm", "train/grad_norm", "grad_norm"),
    "nan_count": ("numerical_stability/nan_count", "gradients/nan_count", "nan_count"),
    "inf_count": ("numerical_stability/inf_count", "gradients/inf_count", "inf_count"),
}
"""By line of the training picture, the names it may have; the first that was logged is drawn."""
_OUTCOMES = ("*loss*", "*acc*", "*reward*", "*score*")
_USUAL = (*_OUTCOMES, "lr", "*learning_rate*", "*norm")
_SELDOM = ("exptrack/*", "*/norm/*", "*/ratio/*", "performance/*", "*_count", "train/epoch")
_VALIDATED = ("val", "test", "eval")
_DOWN = (
    *("loss", "error", "perplexity", "ppl", "mse", "mae", "rmse", "wer", "cer", "fid", "nll"),
    *("latency", "bits_per_byte", "nan_count", "inf_count"),
)
_UP = (
    *("acc", "auc", "f1", "map", "iou", "dice", "precision", "recall", "reward", "score", "bleu"),
    *("r2", "psnr", "ssim", "throughput", "per_s"),
)


def usual_first(names: Iterable[str]) -> list[str]:
    """What one looks at first stands first; of those alike in the order of their names."""
    return sorted(names, key=lambda name: (_place(name), name))


def outcomes(names: Iterable[str]) -> list[str]:
    """What says how good a run is, the validated before the trained; all names where none says it."""
    every = list(names)
    found = [name for name in every if _place(name) < len(_OUTCOMES)] or every
    return sorted(found, key=lambda name: (_place(name), not _is_validated(name), name))


def _is_validated(name: str) -> bool:
    return name.lower().startswith(_VALIDATED)


def _place(name: str) -> int:
    if any(fnmatchcase(name, pattern) for pattern in _SELDOM):
        return len(_USUAL) + 1
    fits = (at for at, pattern in enumerate(_USUAL) if fnmatchcase(name.lower(), pattern))
    return next(fits, len(_USUAL))


def goal_of(name: str) -> Goal:
    """Whether a metric of this name is best when it is high. A guess, and shown as one."""
    last = name.rpartition("/")[2].lower()
    return "max" if any(part in last for part in _UP) and "loss" not in last else "min"


def told_goal(name: str) -> Goal | None:
    """The same where the name says it; None for a learning rate, a norm, an epoch."""
    last = name.rpartition("/")[2].lower()
    return goal_of(name) if any(part in last for part in (*_UP, *_DOWN)) else None
