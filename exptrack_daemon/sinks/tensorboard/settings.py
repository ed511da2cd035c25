"""The table `[sinks.tensorboard]` of daemon.toml, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBoardSettings:
    directory: Path
    """TensorBoard's `--logdir`; one folder a project below it."""


def read_settings(table: Mapping[str, Any], home: Home) -> TensorBoardSettings:
    """Check the table; what it leaves out comes from the home.

    Raises:
        ConfigInvalid: an unknown key, or a directory that is no absolute path.
    """
    unknown = sorted(set(table) - {"directory"})
    if unknown:
        raise ConfigInvalid(
            f"sinks.tensorboard has no setting {', '.join(unknown)}; it has: directory"
        )
    if "directory" not in table:
        return TensorBoardSettings(directory=home.tensorboard)
    return TensorBoardSettings(directory=_directory(table["directory"]))


def _directory(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigInvalid(f"sinks.tensorboard.directory must be a path, not {value!r}")
    path = Path(value).expanduser()
    # A daemon's working directory is nobody's choice, so a relative path would mean nothing.
    if not path.is_absolute():
        raise ConfigInvalid(f"sinks.tensorboard.directory must be an absolute path, not {value}")
    return path
