"""How our names become W&B's: metric keys, files, tags, projects. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from exptrack_daemon.home import folder_name
from exptrack_daemon.journal.entries import Stream

STEP = "step"
"""The user's step, as the metric that is every chart's x axis."""
OWN_STEP = "exptrack/step"
"""Where the user's step stands in a row that logs a metric of the step's name itself."""
TIMESTAMP = "_timestamp"

_EMPTY = "(empty)"
_TAKEN = frozenset({"_step", "_runtime", TIMESTAMP, "_wandb"})
"""Keys that W&B overwrites, drops or gives a meaning."""

_SPECIAL = _TAKEN | {""}
_MAX_TAG_CHARS = 64
_MAX_LABEL_CHARS = 128
_MAX_FILE_BYTES = 160
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NOT_IN_PROJECTS = re.compile(r"[/\\#?%:]+")


def prefix_of(stream: Stream) -> str:
    """Ranks share one W&B run: the keys of all but the first are told apart; the sampler's are already."""
    return f"rank_{stream.rank}/" if stream.rank and stream.role == "trainer" else ""


def metric_key(name: str, taken: Container[str] = (), prefix: str = "") -> str:
    """A key that W&B keeps as it is; a name it would swallow is changed so that one sees it."""
    if name and (prefix or name not in _TAKEN):
        return prefix + name
    name = f"{name} (renamed)" if name else _EMPTY
    while name in taken:
        name += "'"
    return prefix + name


class ShownNames:
    """Names that a run wants its metrics to be shown by."""

    def __init__(self, table: Mapping[str, str] = MappingProxyType({})) -> None:
        whole = {name: shown for name, shown in table.items() if not name.endswith("/*")}
        self._known = whole
        self._beginnings = sorted(
            (
                (name[:-1], shown.removesuffix("*"))
                for name, shown in table.items()
                if name not in whole
            ),
            key=lambda pair: -len(pair[0]),
        )

    def __bool__(self) -> bool:
        return bool(self._known or self._beginnings)

    def of(self, name: str) -> str:
        """A whole name goes before a beginning, a longer beginning before a shorter."""
        shown = self._known.get(name)
        if shown is None:
            found = (
                shown + name[len(old) :] for old, shown in self._beginnings if name.startswith(old)
            )
            shown = self._known[name] = next(found, name)
        return shown


@dataclass(frozen=True, slots=True)
class Keys:
    """How a run's metric names become W&B's keys."""

    step: str = STEP
    shown: ShownNames = field(default_factory=ShownNames)

    def of(self, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """The values by their keys; most often the names as they are."""
        names = values.keys()
        if self.shown:
            return {
                metric_key(self.shown.of(name), names, prefix): value
                for name, value in values.items()
            }
        if prefix or not _SPECIAL.isdisjoint(names):
            return {metric_key(name, names, prefix): value for name, value in values.items()}
        return dict(values)

    def step_beside(self, values: Mapping[str, Any]) -> str:
        """Where the step goes: a metric of the step's own name is kept."""
        return OWN_STEP if self.step in values else self.step


def config_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {metric_key(name, config): value for name, value in config.items()}


def media_file_key(key: str) -> str:
    """What wandb makes a file's name from: any text becomes one that a file system takes.

    wandb itself defuses `..` and a leading `/`; it does not shorten.
    """
    clean = _UNPRINTABLE.sub("_", key)
    encoded = clean.encode()
    if len(encoded) <= _MAX_FILE_BYTES and clean == key:
        return clean
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{encoded[:_MAX_FILE_BYTES].decode('utf-8', 'ignore')}~{digest}"


def run_identity(run_id: str) -> str:
    """W&B's id of a run: ours; an id that W&B would not take is encoded so that none meets another."""
    return folder_name(run_id)


def project_name(name: str) -> str:
    return _label(_NOT_IN_PROJECTS.sub("-", name)) or "uncategorized"


def label(name: str | None) -> str | None:
    """A name, group or job type as W&B shows it."""
    return _label(name or "") or None


def _label(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()[:_MAX_LABEL_CHARS].strip()


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Tags of 1 to 64 characters, each once, in their order."""
    cut = (_UNPRINTABLE.sub(" ", tag).strip()[:_MAX_TAG_CHARS].strip() for tag in tags)
    return list(dict.fromkeys(tag for tag in cut if tag))
