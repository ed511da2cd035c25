"""`wandb.config` and `wandb.summary`: mappings whose entries are attributes too."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from exptrack_agent.compat.wandb.errors import ConfigError, Error


class Attributes(MutableMapping[str, Any]):
    """A recorded mapping, by item and by attribute."""

    def __init__(self, recorded: MutableMapping[str, Any]) -> None:
        object.__setattr__(self, "_recorded", recorded)

    _recorded: MutableMapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self._recorded[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._recorded[key] = value

    def __delitem__(self, key: str) -> None:
        del self._recorded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._recorded)

    def __len__(self) -> int:
        return len(self._recorded)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return repr(dict(self))


class Summary(Attributes):
    """`run.summary`."""

    def update(self, *others: Any, **values: Any) -> None:
        """Set several entries, recorded as one change."""
        self._recorded.update(*others, **values)


class Config(Attributes):
    """`run.config`. An entry that is there changes only with `allow_val_change`."""

    def __init__(self, recorded: MutableMapping[str, Any], *, allow_val_change: bool) -> None:
        super().__init__(recorded)
        object.__setattr__(self, "_may_change", allow_val_change)

    _may_change: bool

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *others: Any, allow_val_change: bool | None = None, **values: Any) -> None:
        """Set several entries: of mappings, argparse namespaces, dataclasses, or names of files.

        Raises:
            ConfigError: one is there with another value, and `allow_val_change` is not set.
        """
        changes: dict[str, Any] = {}
        for other in others:
            changes |= as_mapping(other)
        changes |= values
        if not (self._may_change if allow_val_change is None else allow_val_change):
            self._check(changes)
        self._recorded.update(changes)

    def setdefaults(self, other: Any) -> None:
        """Set what is not there yet."""
        new = {key: value for key, value in as_mapping(other).items() if key not in self}
        self._recorded.update(new)

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self)

    def _check(self, changes: Mapping[str, Any]) -> None:
        for key, value in changes.items():
            if key in self and not _is_same(self[key], value):
                raise ConfigError(
                    f'Attempted to change value of key "{key}" from {self[key]!r} to {value!r}.'
                    " If you really want to do this, pass allow_val_change=True to config.update()"
                )


class BeforeInit:
    """What `wandb.config` and `wandb.summary` are before `wandb.init`."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, key: str) -> Any:
        raise Error(f"You must call wandb.init() before wandb.{self._name}.{key}")

    def __setattr__(self, key: str, value: Any) -> None:
        raise Error(f"You must call wandb.init() before wandb.{self._name}.{key}")

    def __getitem__(self, key: str) -> Any:
        raise Error(f"You must call wandb.init() before wandb.{self._name}[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        raise Error(f"You must call wandb.init() before wandb.{self._name}[{key!r}]")


def as_mapping(given: Any) -> dict[str, Any]:
    """The entries of a config, in whatever form it comes.

    Raises:
        Error: it has none.
    """
    if given is None:
        return {}
    if isinstance(given, str | Path):
        return _from_file(Path(given))
    fields = getattr(type(given), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(given, name) for name in fields}
    if hasattr(given, "keys"):  # a mapping, or what only looks like one
        return {str(key): given[key] for key in given.keys()}  # noqa: SIM118
    try:
        return dict(vars(given))
    except TypeError:
        raise Error(f"config is a mapping, not {type(given).__name__}") from None


def _from_file(path: Path) -> dict[str, Any]:
    text = path.read_text()
    if path.suffix == ".json":
        loaded = json.loads(text)
    else:
        yaml = importlib.import_module("yaml")  # who has W&B's YAML files has the library
        loaded = yaml.safe_load(text)
    if not isinstance(loaded, dict):
        raise Error(f"{path} holds no mapping")
    return {str(key): _value(entry) for key, entry in loaded.items()}


def _value(entry: Any) -> Any:
    """W&B's own files have `{desc: …, value: …}` for an entry."""
    is_described = isinstance(entry, dict) and set(entry) == {"desc", "value"}
    return entry["value"] if is_described else entry


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # arrays, and whatever else does not say
        return one is other
