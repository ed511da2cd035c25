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
from exptrack_daemon.sinks.wandb.names import Keys, config_keys, prefix_of
from exptrack_proto.records import Close, ConfigUpdate, Hparams, Note, Open, Summary

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
                return self.with_config(item.config)
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
        return replace(self, config={**self.config, **config_keys(_object(text))})

    def with_summary(self, text: str, keys: Keys, prefix: str = "") -> Told:
        return replace(self, summary={**self.summary, **keys.of(_object(text), prefix)})

    def to_state(self) -> dict[str, Any]:
        return {
            "config": _if_small(self.config),
            "summary": _if_small(self.summary),
            "notes": self.notes,
            "exit_code": self.exit_code,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Told:
        return cls(
            state.get("config") or {},
            state.get("summary") or {},
            state.get("notes") or "",
            state.get("exit_code"),
        )


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
