"""What a run asks of W&B (`sink_options["wandb"]`): a team, names of its own, another step metric.

    entity      the W&B team or user, instead of the daemon's
    names       shown names by metric; `"epoch/*": "Epoch/*"` renames all that begins so
    step_name   the metric that charts have as x axis, instead of `step`

They come from the run's first `open`, so they are the same in every attempt and every replay. What is not
of the right kind is passed over: the usual is better than nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.wandb.names import Keys, ShownNames


@dataclass(frozen=True, slots=True)
class Options:
    entity: str | None
    keys: Keys


def options_of(run: RunInfo) -> Options:
    asked = run.sink_options.get("wandb")
    options: Mapping[str, object] = asked if isinstance(asked, Mapping) else {}
    step, entity = _text(options.get("step_name")), _text(options.get("entity"))
    shown = ShownNames(_table(options.get("names")))
    return Options(entity, Keys(step=step, shown=shown) if step else Keys(shown=shown))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {name: shown for name, shown in value.items() if _text(name) and _text(shown)}
