"""A configuration as the fields of a form, and back: what is shown, in which order, in which words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["text", "optional", "lines", "tags", "flag", "number", "json", "resume"]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as the form shows it."""

    name: str
    label: str
    info: str = ""
    kind: Kind = "flag"

    @property
    def may_be_wrong(self) -> bool:
        """Whether something can be typed into it that is no value."""
        return self.kind in ("text", "number", "json")


class BadField(ValueError):
    """What was typed has no meaning for this field; the message names the setting."""


SECTIONS: Mapping[str, Sequence[Field]] = {
    "What it is": (
        Field("experiment_name", "Name", "Versions are kept under this name.", "text"),
        Field("project_name", "Project", "What the experiment belongs to.", "text"),
        Field("run_name", "Run name", "Empty: made of name and time.", "optional"),
        Field("tags", "Tags", "Separated by commas.", "tags"),
        Field("notes", "Notes", "", "lines"),
    ),
    "Where it is shown": (
        Field("enable_tensorboard", "TensorBoard"),
        Field("enable_wandb", "Weights & Biases"),
        Field("wandb_entity", "W&B team or user", "Empty: as the login says.", "optional"),
        Field("wandb_group", "Group", "Shared by runs of one experiment.", "optional"),
        Field("wandb_job_type", "Job type", "Such as train or eval.", "optional"),
    ),
    "How often": (
        Field("log_interval", "Log interval", "Record every so many steps.", "number"),
        Field("save_interval", "Save interval", "A checkpoint every so many steps.", "number"),
    ),
    "What is logged": (
        Field("log_metrics", "Metrics"),
        Field("log_hyperparameters", "Hyperparameters"),
        Field("log_model_architecture", "Model architecture"),
        Field("log_gradients", "Gradient histograms"),
        Field("log_gradient_norms", "Gradient norms"),
        Field("log_nan_inf_counts", "NaN and infinity counts"),
        Field("log_images", "Images"),
        Field("log_text", "Texts"),
        Field("record_source", "Git commit and changes"),
        Field("record_environment", "Environment"),
    ),
    "Paths": (
        Field("tensorboard_dir", "TensorBoard folder", "Empty: in the home folder.", "optional"),
        Field("model_save_dir", "Checkpoint folder", "Empty: in the home folder.", "optional"),
        Field("config_save_dir", "Folder of a history beside this one", "", "optional"),
    ),
    "More": (
        Field(
            "resume_run",
            "Go on with a run",
            "A run's id; yes: the run of these names; empty: a new run each time.",
            "resume",
        ),
        Field(
            "metric_names",
            "Names of your own, by sink, as JSON",
            'Such as {"tensorboard": {"train/loss": "Training/Loss"}}.',
            "json",
        ),
    ),
}
"""By heading. Settings that change nothing any more have no field; they are kept as they are."""

FIELDS: tuple[Field, ...] = tuple(field for fields in SECTIONS.values() for field in fields)


def shown_values(settings: Mapping[str, Any]) -> list[Any]:
    """What each field shows of these settings, in the order of `FIELDS`."""
    return [_shown(field, settings[field.name]) for field in FIELDS]


def _shown(field: Field, value: Any) -> Any:
    if field.kind == "tags":
        return ", ".join(value)
    if field.kind == "json":
        return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
    if field.kind == "resume":
        return "yes" if value is True else value or ""
    return "" if value is None else value


def typed_value(field: Field, typed: Any) -> Any:
    """The setting that somebody means who typed this.

    Raises:
        BadField: it cannot be read at all; whether it may be so is for the configuration to say.
    """
    text = typed.strip() if isinstance(typed, str) else typed
    match field.kind:
        case "optional":
            return text or None
        case "tags":
            return [tag.strip() for tag in (text or "").split(",") if tag.strip()]
        case "number":
            return int(text) if isinstance(text, float) and text.is_integer() else text
        case "json":
            return _mapping(field, text or "{}")
        case "resume":
            return {"": False, "yes": True}.get(text or "", text)
        case "flag":
            return bool(typed)
    return text or ""


def _mapping(field: Field, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadField(f"{field.name} is no JSON: {error}") from error
