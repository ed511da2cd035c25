"""W&B's environment variables and settings, as far as they mean something here; read nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_TRUE = ("1", "true", "yes", "on")
_MODES = {"online": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}
_MODES |= {"disabled": "disabled", "run": "online"}

_NAMES = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "name": "WANDB_NAME",
    "notes": "WANDB_NOTES",
    "id": "WANDB_RUN_ID",
    "resume": "WANDB_RESUME",
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "mode": "WANDB_MODE",
}
_OF_SETTINGS = {
    "project": "project",
    "entity": "entity",
    "run_name": "name",
    "run_notes": "notes",
    "run_id": "id",
    "resume": "resume",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_tags": "tags",
    "mode": "mode",
}


class Settings:
    """`wandb.Settings`: takes anything; names of runs, their project and mode mean something."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"


def from_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Arguments of `wandb.init` that the environment gives."""
    found: dict[str, Any] = {name: environ[key] for name, key in _NAMES.items() if environ.get(key)}
    tags = environ.get("WANDB_TAGS")
    if tags:
        found["tags"] = [tag.strip() for tag in tags.split(",") if tag.strip()]
    if environ.get("WANDB_DISABLED", "").lower() in _TRUE:
        found["mode"] = "disabled"
    return found


def from_settings(settings: Any) -> dict[str, Any]:
    """Arguments of `wandb.init` that a `Settings` or a mapping gives."""
    values = settings if isinstance(settings, Mapping) else vars(settings or Settings())
    named = {_OF_SETTINGS[key]: value for key, value in values.items() if key in _OF_SETTINGS}
    return {name: value for name, value in named.items() if value is not None}


def mode_here(mode: str | None) -> str | None:
    """The mode here for W&B's; None: as EXPTRACK_MODE says.

    Raises:
        ValueError: W&B has no such mode.
    """
    if mode is None:
        return None
    if mode not in _MODES:
        raise ValueError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")
    return _MODES[mode]
