"""The daemon's settings: read once from HOME/daemon.toml, checked before anything starts.

default_sinks = ["tensorboard", "store"]    # for runs that name none; "catalog" always runs
[journal]
segment_bytes = 67108864
[sampler]
every_s = 2.0
[sinks.wandb]                      # a sink's own table; the sink checks it
mode = "offline"
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home
from exptrack_daemon.journal.writer import JournalConfig
from exptrack_proto.limits import MIB

CATALOG = "catalog"
_MOST_BYTES = 256 * 1024
STORE = "store"
DEFAULT_SINKS = ("tensorboard", STORE) if importlib.util.find_spec("pyarrow") else ("tensorboard",)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeConfig:
    """How frames are taken."""

    commit_after_s: float = 0.015
    """At least so long from the end of one sync to the next: frames that come meanwhile share that one."""
    commit_bytes: int = 1024 * 1024
    """So much is made durable at once, without waiting for more."""
    recover_every_s: float = 2.0
    """How often to look for what dead trainers left."""

    def __post_init__(self) -> None:
        _check("intake.commit_after_s", self.commit_after_s, 0, 1)
        _check("intake.commit_bytes", self.commit_bytes, 4096, 64 * MIB)
        _check("intake.recover_every_s", self.recover_every_s, 0.1, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerConfig:
    """How machine and training processes are watched."""

    enabled: bool = True
    """Whether they are."""
    every_s: float = 2.0
    """Time between two samples."""

    def __post_init__(self) -> None:
        _check("sampler.every_s", self.every_s, 0.2, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """How the journal is handed to sinks."""

    batch_bytes: int = 1024 * 1024
    """About so much is read from the journal and handed over at once."""
    batch_age_s: float = 0.5
    """What is less than half a batch waits so long for more."""
    hung_after_s: float = 60.0
    """A worker that gives no sign of life for so long is killed and started anew."""

    def __post_init__(self) -> None:
        _check("delivery.batch_bytes", self.batch_bytes, 4096, 64 * MIB)
        _check("delivery.batch_age_s", self.batch_age_s, 0, 60)
        _check("delivery.hung_after_s", self.hung_after_s, 5, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where trainers on other machines reach the intake."""

    endpoint: str = ""
    """Such as tcp://10.0.0.5:5555, which takes that port and the next; "": this machine only."""

    def __post_init__(self) -> None:
        if self.endpoint and self.parts() is None:
            raise ValueError(
                f"listen.endpoint must be tcp://NUMERIC-ADDRESS:PORT, not {self.endpoint[:80]!r}"
            )

    def parts(self) -> tuple[str, str] | None:
        """The endpoints of frames and of control; None when it names none."""
        address, colon, port = self.endpoint.removeprefix("tcp://").rpartition(":")
        if not self.endpoint.startswith("tcp://") or not colon or not port.isdecimal():
            return None
        try:
            ip_address(address.strip("[]"))
        except ValueError:
            return None
        number = int(port[:6])
        if not 0 < number < 65_535:
            return None
        return self.endpoint, f"tcp://{address}:{number + 1}"


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """Everything that can be set."""

    home: Home
    default_sinks: tuple[str, ...] = DEFAULT_SINKS
    journal: JournalConfig = field(default_factory=JournalConfig)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    listen: ListenConfig = field(default_factory=ListenConfig)
    sinks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def wants(self, sink: str, asked: tuple[str, ...] | None) -> bool:
        """Whether a run that asked for these sinks (None: for none in particular) goes to this one.

        What readers read from (the catalogue, and the store unless it is turned off) has every run.
        """
        if sink == CATALOG or (sink == STORE and STORE in self.default_sinks):
            return True
        return sink in (self.default_sinks if asked is None else asked)


_PARTS: dict[str, type] = {
    "journal": JournalConfig,
    "intake": IntakeConfig,
    "sampler": SamplerConfig,
    "delivery": DeliveryConfig,
    "listen": ListenConfig,
}


def load_config(home_path: Path) -> DaemonConfig:
    """The settings of a home; defaults where it has no daemon.toml.

    Raises:
        ConfigInvalid: the file is no TOML, or a setting is unknown or out of range; says which.
    """
    home = Home(home_path)
    try:
        with home.settings.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return DaemonConfig(home=home)
    except OSError as error:
        raise ConfigInvalid(f"{home.settings} cannot be read: {error.strerror}") from error
    return config_from(home, _parsed(home, data))


def _parsed(home: Home, data: bytes) -> dict[str, Any]:
    if len(data) > _MOST_BYTES:
        raise ConfigInvalid(f"{home.settings} has more than {_MOST_BYTES:,} bytes")
    try:
        return tomllib.loads(data.decode("utf-8").replace("\r\n", "\n"))
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ConfigInvalid(f"{home.settings} is not valid TOML: {str(error)[:300]}") from error
    except RecursionError as error:
        raise ConfigInvalid(f"{home.settings} is not valid TOML: it is nested too deep") from error


def config_from(home: Home, table: Mapping[str, Any]) -> DaemonConfig:
    """Check a parsed daemon.toml."""
    known = {*_PARTS, "default_sinks", "sinks"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigInvalid(
            f"{home.settings}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    parts = {name: _part(home, name, kind, table.get(name, {})) for name, kind in _PARTS.items()}
    sinks = table.get("sinks", {})
    if not isinstance(sinks, dict) or not all(isinstance(value, dict) for value in sinks.values()):
        raise ConfigInvalid(
            f"{home.settings}: [sinks.NAME] are tables; the list is called default_sinks"
        )
    default = table.get("default_sinks", [*DEFAULT_SINKS])
    if not isinstance(default, list) or not all(isinstance(name, str) for name in default):
        raise ConfigInvalid(
            f'{home.settings}: default_sinks is a list such as ["tensorboard", "wandb"]'
        )
    return DaemonConfig(home=home, default_sinks=tuple(default), sinks=sinks, **parts)


def _part(home: Home, name: str, kind: type, table: Any) -> Any:
    if not isinstance(table, dict):
        raise ConfigInvalid(f"{home.settings}: [{name}] is a table")
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigInvalid(
            f"{home.settings}: unknown {name}.{unknown[0]}; known are {', '.join(sorted(known))}"
        )
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"{home.settings}: [{name}] {error}".replace("`$.", "`")) from error
