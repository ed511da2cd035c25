"""Drop-in for W&B: change the import, keep the script.

    import exptrack_agent.compat.wandb as wandb

Nothing of W&B is imported and nothing talks to its servers from here. With `sinks=["wandb"]` in
`wandb.init`, or as the daemon's default, the daemon sends the run there as well. What becomes of each call is
said in docs/integrations.md.
"""

from __future__ import annotations

import enum
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from exptrack_agent.compat.wandb import errors, plot, session, util
from exptrack_agent.compat.wandb import media as data_types
from exptrack_agent.compat.wandb.artifact import Artifact
from exptrack_agent.compat.wandb.environment import Settings
from exptrack_agent.compat.wandb.errors import CommError, Error, UsageError
from exptrack_agent.compat.wandb.mappings import BeforeInit, Config, Summary
from exptrack_agent.compat.wandb.media import (
    Audio,
    Histogram,
    Html,
    Image,
    Molecule,
    Object3D,
    Plotly,
    Table,
    Video,
)
from exptrack_agent.compat.wandb.runs import Run
from exptrack_agent.compat.wandb.session import finish, init
from exptrack_agent.version import __version__

if TYPE_CHECKING:
    run: Run | None
    config: Config
    summary: Summary

__all__ = [
    "AlertLevel",
    "Api",
    "Artifact",
    "Audio",
    "CommError",
    "Error",
    "Histogram",
    "Html",
    "Image",
    "Molecule",
    "Object3D",
    "Plotly",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "__version__",
    "agent",
    "alert",
    "config",
    "controller",
    "data_types",
    "define_metric",
    "errors",
    "finish",
    "init",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "plot",
    "require",
    "restore",
    "run",
    "save",
    "sdk",
    "setup",
    "summary",
    "sweep",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "util",
    "watch",
]

_logger = logging.getLogger("exptrack")
join = finish
sdk = SimpleNamespace(wandb_run=SimpleNamespace(Run=Run))
"""For annotations: `wandb.sdk.wandb_run.Run`."""


class AlertLevel(enum.Enum):
    """How bad it is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`wandb.run`, `wandb.config` and `wandb.summary` are those of the run of the moment."""
        current = session.current
        if name == "run":
            return current
        if name in ("config", "summary"):
            return getattr(current, name) if current is not None else BeforeInit(name)
        raise AttributeError(f"exptrack's drop-in for wandb has no {name!r}")


def log(
    data: dict[str, Any],
    step: int | None = None,
    commit: bool | None = None,
    sync: bool | None = None,
) -> None:
    """Record values in the run of the moment: see `Run.log`."""
    run = session.current
    if run is None:
        session.opened("log")
        return
    run.log(data, step, commit)


def define_metric(name: str, *arguments: Any, **keywords: Any) -> Any:
    """See `Run.define_metric`."""
    return session.opened("define_metric").define_metric(name, *arguments, **keywords)


def watch(models: Any, *arguments: Any, **keywords: Any) -> None:
    """See `Run.watch`."""
    session.opened("watch").watch(models, *arguments, **keywords)


def unwatch(models: Any = None) -> None:
    """See `Run.unwatch`."""
    session.opened("unwatch").unwatch(models)


def save(*arguments: Any, **keywords: Any) -> list[str]:
    """See `Run.save`."""
    return session.opened("save").save(*arguments, **keywords)


def log_artifact(*arguments: Any, **keywords: Any) -> Artifact:
    """See `Run.log_artifact`."""
    return session.opened("log_artifact").log_artifact(*arguments, **keywords)


def use_artifact(*arguments: Any, **keywords: Any) -> Artifact:
    """See `Run.use_artifact`."""
    return session.opened("use_artifact").use_artifact(*arguments, **keywords)


def log_model(*arguments: Any, **keywords: Any) -> None:
    """See `Run.log_model`."""
    session.opened("log_model").log_model(*arguments, **keywords)


def link_artifact(*arguments: Any, **keywords: Any) -> None:
    """See `Run.link_artifact`."""
    session.opened("link_artifact").link_artifact(*arguments, **keywords)


def link_model(*arguments: Any, **keywords: Any) -> None:
    """See `Run.link_model`."""
    session.opened("link_model").link_model(*arguments, **keywords)


def alert(title: str, text: str = "", level: Any = None, wait_duration: Any = None) -> None:
    """See `Run.alert`."""
    session.opened("alert").alert(title, text, level)


def login(*_arguments: Any, **_keywords: Any) -> bool:
    """Nothing to do: there is no login."""
    return True


def setup(*_arguments: Any, **_keywords: Any) -> None:
    """Nothing to do: there is no service of W&B's."""


def teardown(exit_code: int | None = None) -> None:
    """End the run of the moment."""
    finish(exit_code)


def require(*_arguments: Any, **_keywords: Any) -> None:
    """Nothing to do: there are no experimental features."""


def termlog(string: str = "", *_arguments: Any, **_keywords: Any) -> None:
    """Log an information."""
    _logger.info("%s", string)


def termwarn(string: str = "", *_arguments: Any, **_keywords: Any) -> None:
    """Log a warning."""
    _logger.warning("%s", string)


def termerror(string: str = "", *_arguments: Any, **_keywords: Any) -> None:
    """Log an error."""
    _logger.error("%s", string)


def sweep(*_arguments: Any, **_keywords: Any) -> NoReturn:
    """Not here.

    Raises:
        UsageError: always; the message says what to do.
    """
    raise UsageError(
        "exptrack has no sweeps: call your training function in a loop or from Optuna, one"
        ' wandb.init(group="sweep-1", config=…) each; `exptrack runs` shows them together'
    )


agent = controller = sweep


def restore(*_arguments: Any, **_keywords: Any) -> NoReturn:
    """Not here.

    Raises:
        UsageError: always; the message says what to do.
    """
    raise UsageError("exptrack keeps no copies of files: open the file where it was saved")


class Api:
    """Not here: W&B's servers are asked with W&B's own library, exptrack's runs with `open_home`."""

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        raise UsageError(
            "wandb.Api asks W&B's servers, which exptrack does not: import the real wandb for that, or read"
            " exptrack's runs with exptrack_daemon.store.open_home()"
        )
