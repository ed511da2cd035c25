"""The table `[sinks.wandb]`: checked, frozen, and turned into where a run goes."""

from __future__ import annotations

import netrc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from exptrack_daemon.errors import ConfigInvalid, SinkUnavailable

DEFAULT_BASE_URL = "https://api.wandb.ai"

Mode: TypeAlias = Literal["online", "offline"]
_MODES = ("auto", "online", "offline")
_ARTIFACTS = ("reference", "upload", "off")
_MAX_TIMEOUT_S = 600.0
_MAX_INTERVAL_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbSettings:
    mode: str = "auto"
    """`auto`: online when an API key is configured, else offline."""
    entity: str | None = None
    project: str | None = None
    """Instead of the run's own project."""
    base_url: str | None = None
    api_key_file: str | None = None
    artifacts: str = "reference"
    """What becomes of a run's files: `reference` (where they are), `upload` (their bytes too), `off`."""
    init_timeout_s: float = 10.0
    finish_timeout_s: float = 10.0
    transmit_interval_s: int = 5
    """Whole seconds: wandb silently takes any fraction for its default of 15 s."""

    def __post_init__(self) -> None:
        _require(self.mode in _MODES, "mode", self.mode, "one of auto, online, offline")
        wanted = "one of reference, upload, off"
        _require(self.artifacts in _ARTIFACTS, "artifacts", self.artifacts, wanted)
        for name in ("init_timeout_s", "finish_timeout_s"):
            value = getattr(self, name)
            _require(
                1 <= value <= _MAX_TIMEOUT_S, name, value, f"1 to {_MAX_TIMEOUT_S:.0f} seconds"
            )
        interval = self.transmit_interval_s
        fits = 1 <= interval <= _MAX_INTERVAL_S
        _require(fits, "transmit_interval_s", interval, f"1 to {_MAX_INTERVAL_S} whole seconds")
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
            _require(is_web, "base_url", self.base_url, "an http:// or https:// address")


def read_settings(table: Mapping[str, Any]) -> WandbSettings:
    """Check the table of daemon.toml.

    Raises:
        ConfigInvalid: a key is unknown or a value does not fit.
    """
    known = [known.name for known in fields(WandbSettings)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ConfigInvalid(
            f"sinks.wandb does not know {', '.join(unknown)}; it knows {', '.join(known)}"
        )
    for name, value in table.items():
        _check_type(name, value)
    return WandbSettings(**table)


def _check_type(name: str, value: object) -> None:
    if name == "transmit_interval_s":
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        _require(is_whole, name, value, "a whole number")
    elif name.endswith("_s"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _require(is_number, name, value, "a number")
    else:
        _require(isinstance(value, str) and bool(value), name, value, "a text that is not empty")


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigInvalid(f"sinks.wandb.{name} must be {wanted}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a run's rows go."""

    mode: Mode
    base_url: str
    entity: str | None = None
    api_key: str | None = field(default=None, repr=False)


def find_destination(
    settings: WandbSettings,
    environment: Mapping[str, str],
    *,
    begun_as: Mode | None = None,
    netrc_key: Callable[[str], str | None] | None = None,
) -> Destination:
    """Decide between online and offline.

    A run stays what it was begun as: half of a run online and half in files would fit together nowhere.

    Raises:
        SinkUnavailable: online is asked for, and there is no API key (yet).
    """
    base_url = settings.base_url or environment.get("WANDB_BASE_URL") or DEFAULT_BASE_URL
    entity = settings.entity or environment.get("WANDB_ENTITY") or None
    key = _read_key_file(settings) or environment.get("WANDB_API_KEY") or None
    wanted = begun_as or settings.mode
    if wanted == "offline" or (wanted == "auto" and key is None):
        return Destination("offline", base_url, entity)
    key = key or (netrc_key or key_from_netrc)(base_url)
    if key is None:
        raise SinkUnavailable(
            "no W&B API key: set WANDB_API_KEY for the daemon, or sinks.wandb.api_key_file"
        )
    return Destination("online", base_url.rstrip("/"), entity, key)


def _read_key_file(settings: WandbSettings) -> str | None:
    if settings.api_key_file is None:
        return None
    path = Path(settings.api_key_file).expanduser()
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SinkUnavailable(f"sinks.wandb.api_key_file {path} cannot be read") from error
    if not key:
        raise SinkUnavailable(f"sinks.wandb.api_key_file {path} is empty")
    return key


def key_from_netrc(base_url: str) -> str | None:
    """The key that `wandb login` has left in ~/.netrc."""
    try:
        found = netrc.netrc().authenticators(urlsplit(base_url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None
