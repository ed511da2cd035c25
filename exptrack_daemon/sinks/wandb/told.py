"""What the user said about the run itself, apart from its rows: config, summary, how it ended. Pure.

W&B takes these apart from the history and does not say when they have arrived. So they stand in the
sink's saved state, and every new session says them again: saying them twice does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exptrack_daemon.journal.entries import Entry, Event
from exptrack_daemon.journal.replay import FOR_WANDB, without_asides
from exptrack_daemon.sinks.wandb.names import Keys, config_keys, prefix_of
from exptrack_proto.records import Close, ConfigUpdate, Hparams, Note, Open, Summary

_DEFINING = {"step_metric": str, "step_sync": bool, "hidden": bool, "summary": str}

_MAX_STATE_BYTES = 384 * 1024
"""Of config or summary in the saved state; what is larger is said once and not again."""

_MAX_NOTES_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    config: Mapping[str, Any] = field(default_factory=dict)
    """Beyond what the run was opened with."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    """What was noted beyond the run's own notes."""
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What `define_metric` was asked for, by W&B's key, which may end in `*`."""
    exit_code: int | None = None
    """Set when the trainer's rank 0 has closed the run; None while it runs."""

    def after(self, entries: Iterable[Entry], keys: Keys) -> Told:
        """What is known once these entries are; a text that is no JSON object says nothing."""
        told = self
        for entry in entries:
            if isinstance(entry, Event):
                told = told._after(entry, keys)
        return told

    def _after(self, event: Event, keys: Keys) -> Told:
        item, stream = event.item, event.stream
        is_first = stream.role == "trainer" and stream.rank == 0
        match item:
            case ConfigUpdate():
                return self.with_metrics(item.config, keys).with_config(item.config)
            case Hparams():
                return self.with_config(item.hparams).with_summary(item.metrics, keys)
            case Summary():
                return self.with_summary(item.values, keys, prefix_of(stream))
            case Note():
                notes = f"{self.notes}\n{item.text}".strip()
                return replace(self, notes=notes[-_MAX_NOTES_CHARS:])
            case Open() if is_first:
                opened = replace(self, exit_code=None)
                return opened.with_config(item.config) if stream.attempt > 1 else opened
            case Close() if is_first:
                return replace(self, exit_code=_exit_code(item))
        return self

    def with_config(self, text: str) -> Told:
        found = config_keys(without_asides(_object(text)))
        return replace(self, config={**self.config, **found})

    def with_metrics(self, text: str, keys: Keys) -> Told:
        """What stands under `_wandb`: `{"metrics": {NAME: arguments of define_metric}}`."""
        own = _object(text).get(FOR_WANDB)
        asked = own.get("metrics") if isinstance(own, dict) else None
        if not isinstance(asked, dict):
            return self
        defined = {
            _pattern(name, keys): _arguments(given, keys)
            for name, given in asked.items()
            if name and isinstance(given, dict)
        }
        return replace(self, metrics={**self.metrics, **defined})

    def with_summary(self, text: str, keys: Keys, prefix: str = "") -> Told:
        return replace(self, summary={**self.summary, **keys.of(_object(text), prefix)})

    def to_state(self) -> dict[str, Any]:
        return {
            "config": _if_small(self.config),
            "summary": _if_small(self.summary),
            "notes": self.notes,
            "metrics": _if_small(self.metrics),
            "exit_code": self.exit_code,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Told:
        return cls(
            state.get("config") or {},
            state.get("summary") or {},
            state.get("notes") or "",
            state.get("metrics") or {},
            state.get("exit_code"),
        )


def _pattern(name: str, keys: Keys) -> str:
    """W&B's key of a metric, or of all that begin so: `acc*`."""
    is_beginning = name.endswith("*")
    (key,) = keys.of({name[:-1] if is_beginning else name: None}, "")
    return f"{key}*" if is_beginning else key


def _arguments(given: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What wandb's `define_metric` takes of it; anything else is passed over."""
    known = {
        name: given[name]
        for name, kind in _DEFINING.items()
        if isinstance(given.get(name), kind) and given[name] != ""
    }
    if "step_metric" in known:
        known["step_metric"] = _pattern(known["step_metric"], keys)
    return known


def _exit_code(close: Close) -> int:
    if close.status == "finished":
        return 0
    return close.exit_code or 1


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _if_small(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values if len(json.dumps(values)) <= _MAX_STATE_BYTES else {}
