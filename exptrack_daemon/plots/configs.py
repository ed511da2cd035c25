"""What the configurations of runs say: keys that differ, and runs that belong together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from exptrack_daemon.store.catalog_list import flatten

MISSING = object()
"""The value of a key that a run's configuration does not have."""
_SEED = re.compile(r"(^|[-_. /])(?:seed|rng|s)[-_=:]?\d+(?=$|[-_. /])", re.IGNORECASE)
_SEED_KEYS = ("seed", "random_seed", "rng_seed")


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values differ, with each run's value or `MISSING`, in the order of first sight."""
    flat = [flatten(dict(config)) for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config)
    found = {key: [config.get(key, MISSING) for config in flat] for key in keys}
    return {key: values for key, values in found.items() if not _alike(values)}


def _alike(values: Sequence[Any]) -> bool:
    first = values[0]
    return all(
        value is first or (type(value) is type(first) and value == first) for value in values
    )


def group_of(name: str, config: Mapping[str, Any], group_by: str | None) -> str:
    """Which group a run belongs to: its value of the config key, or without one its name without its seed."""
    flat = flatten(dict(config))
    if group_by is not None:
        value = flat.get(group_by, MISSING)
        return f"{group_by}: none" if value is MISSING else f"{group_by}={said(value)}"
    without = _SEED.sub("", name)
    if without == name:
        without = _without_number(name, [flat.get(key) for key in _SEED_KEYS])
    return without.strip("-_. /") or name


def _without_number(name: str, seeds: Sequence[Any]) -> str:
    """A number in the name that is the seed of the configuration is taken out."""
    for seed in seeds:
        if isinstance(seed, int) and not isinstance(seed, bool):
            return re.sub(rf"(?:^|[-_. /]){seed}(?=$|[-_. /])", "", name)
    return name


def said(value: Any) -> str:
    """A config value in few characters."""
    if value is MISSING:
        return "–"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
