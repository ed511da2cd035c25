"""The table `[sinks.mlflow]` of daemon.toml, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home

_WEB = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_MAX_TIMEOUT_S = 50
_MAX_PREFIX_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowSettings:
    tracking_uri: str
    """A server (`http://…`), or a database that is written without one (`sqlite:///…`)."""
    artifacts: str | None = None
    """Where new experiments keep files; None: the server decides."""
    experiment_prefix: str = ""
    request_timeout_s: int = 10
    """Whole seconds, as MLflow takes no others."""

    def __post_init__(self) -> None:
        _require_place(self.tracking_uri)
        timeout: object = self.request_timeout_s
        is_whole = isinstance(timeout, int) and not isinstance(timeout, bool)
        fits = is_whole and 1 <= self.request_timeout_s <= _MAX_TIMEOUT_S
        _require(fits, "request_timeout_s", timeout, f"1 to {_MAX_TIMEOUT_S} whole seconds")

    @property
    def is_database(self) -> bool:
        return not self.tracking_uri.startswith(_WEB)


def read_settings(table: Mapping[str, Any], home: Home) -> MlflowSettings:
    """Check the table; what it leaves out stands below the home.

    Raises:
        ConfigInvalid: a key is unknown or a value does not fit.
    """
    known = [known.name for known in fields(MlflowSettings)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ConfigInvalid(
            f"sinks.mlflow does not know {', '.join(unknown)}; it knows {', '.join(known)}"
        )
    for name in ("tracking_uri", "artifacts"):
        given = table.get(name)
        is_text = name not in table or (isinstance(given, str) and bool(given))
        _require(is_text, name, given, "a text that is not empty")
    prefix = table.get("experiment_prefix", "")
    fits = isinstance(prefix, str) and len(prefix) <= _MAX_PREFIX_CHARS
    _require(fits, "experiment_prefix", prefix, f"a text of at most {_MAX_PREFIX_CHARS} characters")
    folder = home.path.absolute() / "mlflow"
    uri = table.get("tracking_uri", f"sqlite:///{folder / 'mlflow.db'}")
    # MLflow's own choice for a database would be `mlruns` in the daemon's working directory.
    artifacts = None if uri.startswith(_WEB) else str(folder / "artifacts")
    return MlflowSettings(**{"artifacts": artifacts, **table, "tracking_uri": uri})


def _require_place(uri: str) -> None:
    parts = urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    is_web = kind in _WEB and bool(parts.hostname)
    # A relative file would stand wherever the daemon was started.
    is_file = kind == "sqlite" and uri.partition(":")[2].startswith("////")
    is_database = kind in _DATABASES and kind != "sqlite"
    if not (is_web or is_file or is_database):
        raise ConfigInvalid(
            "sinks.mlflow.tracking_uri must be an http(s):// server, sqlite:////absolute/file.db, or"
            f" another database that MLflow takes, not {_without_password(uri)!r}"
        )
    if parts.password is not None:
        raise ConfigInvalid(
            "sinks.mlflow.tracking_uri holds a password; give it to the daemon's environment instead"
            " (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or PGPASSWORD)"
        )


def _without_password(uri: str) -> str:
    password = urlsplit(uri).password
    return uri.replace(password, "…") if password else uri


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigInvalid(f"sinks.mlflow.{name} must be {wanted}, not {value!r}")
