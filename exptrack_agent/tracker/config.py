"""What an experiment is and what is recorded of it: a frozen value, checked when it is made."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exptrack_agent.errors import Misuse
from exptrack_agent.tracker import storage

SINKS = ("tensorboard", "wandb")
_MOST_INTERVAL = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentConfig:
    """What to track, where it goes, and how often.

    Every field is checked when the configuration is made; `replace` gives a changed copy.

    Attributes:
        experiment_name: what the experiment is called; also begins the TensorBoard folder's name.
        project_name: what the experiment belongs to.
        run_name: what people see of this run; made up from experiment and time when not given.
        tags: short labels to filter by.
        notes: free text.
        enable_tensorboard: show the run in TensorBoard.
        enable_wandb: show the run in Weights & Biases.
        wandb_entity: the W&B team or user; else what the daemon's settings or the login say.
        wandb_group: name that runs of one experiment share, in W&B and in `exptrack runs`.
        wandb_job_type: such as "train" or "eval".
        sync_tensorboard: kept for old scripts; W&B gets every metric itself, so it changes nothing.
        resume_run: a run's id: go on with that run. True: go on with the run of this project, experiment and
            run name, whose id is made from them, so that a script that is started again goes on by itself.
        anonymous: kept for old scripts; W&B dropped anonymous runs.
        log_interval: record every so many steps: those that it divides.
        save_interval: `ExperimentTracker.is_save_due` says so every so many steps.
        log_metrics: record `log_training_step` and `log_epoch`.
        log_hyperparameters: record `log_hyperparameters`.
        log_model_architecture: record `log_model_architecture`.
        log_gradients: `log_gradients` records a histogram of each parameter's gradient.
        log_gradient_norms: `log_gradients` records the norm of each parameter's gradient, and the total.
        log_nan_inf_counts: `log_gradients` counts NaN and infinite gradients.
        log_images: record `log_images`, and the picture of `create_visualization`.
        log_text: record `log_text`.
        tensorboard_dir: folder for TensorBoard's files, in a run folder `EXPERIMENT_YYYYmmdd_HHMMSS`;
            else they stand in the home, by project and run.
        model_save_dir: folder for checkpoints; else `checkpoints/RUN` in the home.
        config_save_dir: folder for the history of configurations; else none is kept.
        metric_names: by sink, names to show instead of the usual ones, such as
            `{"tensorboard": {"train/loss": "Training/Loss", "epoch/*": "Validation/*"}}`.
        record_source: keep the git commit and the uncommitted changes with the run.
        record_environment: keep command line, packages, chosen environment variables, seeds and machine.
    """

    experiment_name: str = "experiment"
    project_name: str = "default"
    run_name: str | None = None
    tags: Iterable[str] = ()
    notes: str = ""
    enable_tensorboard: bool = True
    enable_wandb: bool = False
    wandb_entity: str | None = None
    wandb_group: str | None = None
    wandb_job_type: str | None = None
    sync_tensorboard: bool = False
    resume_run: bool | str = False
    anonymous: bool | str | None = None
    log_interval: int = 1
    save_interval: int = 1_000
    log_metrics: bool = True
    log_hyperparameters: bool = True
    log_model_architecture: bool = True
    log_gradients: bool = False
    log_gradient_norms: bool = False
    log_nan_inf_counts: bool = False
    log_images: bool = True
    log_text: bool = True
    tensorboard_dir: str | os.PathLike[str] | None = None
    model_save_dir: str | os.PathLike[str] | None = None
    config_save_dir: str | os.PathLike[str] | None = None
    metric_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    record_source: bool = True
    record_environment: bool = True

    def __post_init__(self) -> None:
        for name in _NAMES:
            object.__setattr__(self, name, _CHECKS[name](name, getattr(self, name)))

    @property
    def sinks(self) -> tuple[str, ...]:
        """The sinks that the run asks for."""
        asked = (self.enable_tensorboard, self.enable_wandb)
        return tuple(sink for sink, is_asked in zip(SINKS, asked, strict=True) if is_asked)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> ExperimentConfig:
        """A configuration of `DEFAULT_CONFIGS`, with changes.

        Raises:
            Misuse: there is no such preset or setting; the message says which there are.
        """
        if name not in DEFAULT_CONFIGS:
            raise Misuse(f"there is no preset {name!r}; there are: {', '.join(DEFAULT_CONFIGS)}")
        return DEFAULT_CONFIGS[name].replace(**changes)

    def replace(self, **changes: Any) -> ExperimentConfig:
        """A copy with changes.

        Raises:
            Misuse: a setting does not exist or cannot have that value.
        """
        refuse_unknown(changes, "a configuration")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values; `from_dict` makes an equal configuration of them."""
        plain = {name: getattr(self, name) for name in _NAMES}
        names = {sink: dict(table) for sink, table in self.metric_names.items()}
        return {**plain, "tags": list(self.tags), "metric_names": names}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], source: str = "a configuration"
    ) -> ExperimentConfig:
        """From settings; those that are missing get their defaults.

        Raises:
            Misuse: a setting does not exist or cannot have that value; the message begins with `source`.
        """
        refuse_unknown(values, source)
        try:
            return cls(**values)
        except Misuse as error:
            raise Misuse(f"{source}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the configuration as JSON with a format version; the file is whole or as it was.

        Raises:
            Misuse: the folder is missing or cannot be written.
        """
        return storage.write_document(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ExperimentConfig:
        """Read what `save` wrote, also by an older exptrack.

        Raises:
            Misuse: the file cannot be read, is of a newer format, or holds what is no setting.
        """
        return cls.from_dict(storage.read_document(Path(path)), os.fspath(path))


def refuse_unknown(values: Mapping[str, Any], source: str) -> None:
    """Name every key that is no setting, and what was probably meant.

    Raises:
        Misuse: there is one.
    """
    unknown = [str(key) for key in values if key not in _CHECKS]
    if unknown:
        raise Misuse(f"{source} has no setting {', '.join(map(_with_guess, unknown))}")


def _with_guess(key: str) -> str:
    near = difflib.get_close_matches(key, _NAMES, 1)
    return f"{key!r} (did you mean {near[0]!r}?)" if near else repr(key)


# --- the checks of each field, which also give a value its plain shape -----------------------------


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Misuse(f"{name} is True or False, not {value!r:.80}")
    return value


def _interval(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_INTERVAL:
        raise Misuse(f"{name} is a number of steps, 1 or more, not {value!r:.80}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Misuse(f"{name} is a text, not {value!r:.80}")
    return value


def _name(name: str, value: object) -> str:
    if not _text(name, value).strip():
        raise Misuse(f"{name} is empty")
    return str(value)


def _optional_name(name: str, value: object) -> str | None:
    return None if value is None else _name(name, value)


def _tags(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise Misuse(f"{name} is a list of texts, not {value!r:.80}")
    return tuple(_name(name, tag) for tag in value)


def _resume(name: str, value: object) -> bool | str:
    return value if isinstance(value, bool) else _name(name, value)


def _anonymous(name: str, value: object) -> bool | str | None:
    if value is not None and not isinstance(value, bool | str):
        raise Misuse(f"{name} is a text, True, False or None, not {value!r:.80}")
    return value


def _folder(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise Misuse(f"{name} is the path of a folder, not {value!r:.80}")
    path = os.fspath(value)
    if not isinstance(path, str) or "\0" in path:
        raise Misuse(f"{name} is the path of a folder, not {value!r:.80}")
    return path


def _metric_names(name: str, value: object) -> Mapping[str, Mapping[str, str]]:
    if not isinstance(value, Mapping):
        raise Misuse(f"{name} is a mapping of sinks to names, not {value!r:.80}")
    tables = {}
    for sink, table in value.items():
        if sink not in SINKS:
            raise Misuse(f"{name} knows the sinks {' and '.join(SINKS)}, not {sink!r:.80}")
        tables[sink] = MappingProxyType(_name_table(f"{name}[{sink!r}]", table))
    return MappingProxyType(tables)


def _name_table(name: str, table: object) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise Misuse(f"{name} is a mapping of metrics to names, not {table!r:.80}")
    for metric, shown in table.items():
        _name(name, metric)
        if str(metric).endswith("/*") != _name(name, shown).endswith("/*"):
            raise Misuse(f"{name}: {metric!r} and {shown!r} must both end in /*, or neither")
    return dict(table)


_CHECKS: dict[str, Any] = {
    "experiment_name": _name,
    "project_name": _name,
    "run_name": _optional_name,
    "tags": _tags,
    "notes": _text,
    "wandb_entity": _optional_name,
    "wandb_group": _optional_name,
    "wandb_job_type": _optional_name,
    "resume_run": _resume,
    "anonymous": _anonymous,
    "log_interval": _interval,
    "save_interval": _interval,
    "tensorboard_dir": _folder,
    "model_save_dir": _folder,
    "config_save_dir": _folder,
    "metric_names": _metric_names,
}
_NAMES = tuple(each.name for each in fields(ExperimentConfig))
_CHECKS |= {name: _flag for name in _NAMES if name not in _CHECKS}

DEFAULT_CONFIGS: Mapping[str, ExperimentConfig] = MappingProxyType(
    {
        "Basic Tracking": ExperimentConfig(
            experiment_name="basic_experiment",
            enable_tensorboard=True,
            enable_wandb=False,
            log_interval=10,
        ),
        "Full Tracking": ExperimentConfig(
            experiment_name="full_experiment",
            enable_tensorboard=True,
            enable_wandb=True,
            log_interval=5,
            log_gradients=True,
            log_gradient_norms=True,
            log_nan_inf_counts=True,
            log_images=True,
            log_text=True,
        ),
        "Numerical Stability Focus": ExperimentConfig(
            experiment_name="numerical_stability_experiment",
            enable_tensorboard=True,
            enable_wandb=True,
            log_interval=1,
            log_gradient_norms=True,
            log_nan_inf_counts=True,
        ),
    }
)
"""Presets by name; `ExperimentConfig.preset(name, **changes)` gives one with changes."""
