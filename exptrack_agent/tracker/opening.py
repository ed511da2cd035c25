"""From a configuration to a run: its identity, its sinks and what is asked of them, its folders."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.start import init
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.names import WANDB_STEP, table_for
from exptrack_agent.tracker.storage import usable_folder

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def open_run(config: ExperimentConfig, options: Mapping[str, Any]) -> Run:
    """Begin the run that the configuration describes; `options` are further ones of `init`.

    Raises:
        Misuse: as for `init`, or a folder of the configuration cannot be used.
    """
    stamp = time.strftime("%Y%m%d_%H%M%S")
    say_what_changes_nothing(config)
    return init(
        config.project_name,
        name=config.run_name or f"{config.experiment_name}_{stamp}",
        group=config.wandb_group,
        job_type=config.wandb_job_type,
        tags=config.tags,
        notes=config.notes,
        sinks=config.sinks,
        sink_options=sink_options(config, stamp),
        **{**resume_options(config), **options},
    )


def sink_options(config: ExperimentConfig, stamp: str) -> dict[str, dict[str, Any]]:
    """What the run asks of each sink."""
    options: dict[str, dict[str, Any]] = {}
    if config.enable_tensorboard:
        board: dict[str, Any] = {"names": table_for("tensorboard", config.metric_names)}
        if config.tensorboard_dir is not None:
            board["directory"] = str(usable_folder(config.tensorboard_dir, "tensorboard_dir"))
            board["folder"] = f"{folder_part(config.experiment_name)}_{stamp}"
        options["tensorboard"] = board
    if config.enable_wandb:
        wandb = {"names": table_for("wandb", config.metric_names), "step_name": WANDB_STEP}
        options["wandb"] = wandb | ({"entity": config.wandb_entity} if config.wandb_entity else {})
    return options


def resume_options(config: ExperimentConfig) -> dict[str, Any]:
    """The run to go on with, if one is asked for."""
    if config.resume_run is False:
        return {}
    if isinstance(config.resume_run, str):
        return {"run_id": config.resume_run, "resume": "must"}
    names = (config.project_name, config.experiment_name, config.run_name or "")
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()[:12]
    words = _UNSAFE.sub("-", config.run_name or config.experiment_name).strip(".-")[:40]
    return {"run_id": f"{words or 'run'}-{digest}", "resume": "allow"}


def folder_part(text: str) -> str:
    """A name as part of a folder's name: nothing that leads elsewhere."""
    return _UNSAFE.sub("-", text).strip(".-")[:100] or "experiment"


def checkpoint_folder(config: ExperimentConfig, run: Run) -> Path:
    """Where the run's checkpoints stand; made when the first is saved, unless the user chose it."""
    if config.model_save_dir is None:
        return run.home / "checkpoints" / run.id
    return usable_folder(config.model_save_dir, "model_save_dir")


def say_what_changes_nothing(config: ExperimentConfig) -> None:
    """Settings that are kept for old scripts: said once, when they are used."""
    if config.sync_tensorboard:
        say_once(
            "sync_tensorboard",
            "sync_tensorboard changes nothing: W&B gets every metric itself, without TensorBoard's files",
        )
    if config.anonymous not in (None, False, "never"):
        say_once("anonymous", "anonymous changes nothing: W&B has dropped anonymous runs")
