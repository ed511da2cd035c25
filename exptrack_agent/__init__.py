"""exptrack's agent: what training code imports. Light, and never in the way.

import exptrack_agent as xt

with xt.init(project="mnist", config={"lr": 1e-3}) as run:
    for step, batch in enumerate(loader):
        run.log({"train/loss": loss, "lr": lr}, step=step)
"""

from typing import TYPE_CHECKING, Any

from exptrack_agent.errors import ExptrackAgentError, Misuse, RunNotFound
from exptrack_agent.media import Figure, Histogram, Image, Table, Text
from exptrack_agent.run import Run
from exptrack_agent.start import init
from exptrack_agent.version import __version__

if TYPE_CHECKING:
    from exptrack_agent.tracker import (
        DEFAULT_CONFIGS,
        ConfigHistory,
        ExperimentConfig,
        ExperimentTracker,
        ModelCheckpoint,
        TrainingMetrics,
    )

__all__ = [
    "DEFAULT_CONFIGS",
    "ConfigHistory",
    "ExperimentConfig",
    "ExperimentTracker",
    "ExptrackAgentError",
    "Figure",
    "Histogram",
    "Image",
    "Misuse",
    "ModelCheckpoint",
    "Run",
    "RunNotFound",
    "Table",
    "Text",
    "TrainingMetrics",
    "__version__",
    "init",
]

_OF_THE_TRACKER = frozenset(
    {
        "DEFAULT_CONFIGS",
        "ConfigHistory",
        "ExperimentConfig",
        "ExperimentTracker",
        "ModelCheckpoint",
        "TrainingMetrics",
    }
)


if not TYPE_CHECKING:  # a type checker must not take any name for one of ours

    def __getattr__(name: str) -> Any:
        """The tracker's names, imported when one is first used: `init` and `log` need none of it."""
        if name not in _OF_THE_TRACKER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module("exptrack_agent.tracker"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
