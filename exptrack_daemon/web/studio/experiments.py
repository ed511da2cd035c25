"""Configurations of experiments as the studio keeps them: checked, saved in versions, compared, brought back.

    HOME/configs/NAME/      one history for each experiment name (`exptrack_agent.tracker.history` draws it)

The one module of the server that knows the agent: a configuration is the agent's, and so are its messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exptrack_agent.errors import Misuse
from exptrack_agent.start import new_run_id
from exptrack_agent.tracker.config import DEFAULT_CONFIGS, ExperimentConfig
from exptrack_agent.tracker.history import Change, ConfigHistory, Version
from exptrack_agent.tracker.opening import resume_options
from exptrack_agent.tracker.storage import migrated
from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import folder_name
from exptrack_daemon.web.studio.form import FIELDS, BadField, Field, typed_value

DEFAULTS = "Defaults"
_SHOWN_ID_CHARS = 12


def presets() -> dict[str, dict[str, Any]]:
    """Settings by the preset's name, the defaults first."""
    named = {DEFAULTS: ExperimentConfig(), **DEFAULT_CONFIGS}
    return {name: config.to_dict() for name, config in named.items()}


def problem_of(field: Field, typed: Any) -> str:
    """What is wrong with what was typed into a field, in the configuration's own words; "" if nothing is."""
    try:
        ExperimentConfig(**{field.name: typed_value(field, typed)})
    except (BadField, Misuse) as error:
        return str(error)
    return ""


def settings_of(typed: Sequence[Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the form means; those without a field are kept.

    Raises:
        ConfigInvalid: one field or more is wrong; the message names them all.
    """
    problems = [problem_of(field, text) for field, text in zip(FIELDS, typed, strict=True)]
    wrong = [problem for problem in problems if problem]
    if wrong:
        raise ConfigInvalid("; ".join(wrong))
    meant = {
        field.name: typed_value(field, text) for field, text in zip(FIELDS, typed, strict=True)
    }
    return _checked({**kept, **meant}).to_dict()


def document_of(settings: Mapping[str, Any]) -> str:
    """Settings as JSON, as they are shown and copied."""
    return json.dumps(settings, indent=2, ensure_ascii=False)


def settings_from(text: str) -> dict[str, Any]:
    """The settings in a JSON text: what `document_of` gave, or a file that a configuration was saved to.

    Raises:
        ConfigInvalid: it is no JSON, of a newer format, or holds what is no setting.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"that is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigInvalid("a configuration is a JSON object in braces")
    try:
        bare = migrated(document, "the text") if "kind" in document else document
    except Misuse as error:
        raise ConfigInvalid(str(error)) from error
    return _checked(bare).to_dict()


def _checked(settings: Mapping[str, Any]) -> ExperimentConfig:
    try:
        return ExperimentConfig.from_dict(settings)
    except Misuse as error:
        raise ConfigInvalid(str(error)) from error


def run_id_for(settings: Mapping[str, Any]) -> str:
    """The id of the run that these settings begin or go on with."""
    return str(resume_options(_checked(settings)).get("run_id") or new_run_id())


class Experiments:
    """The histories of one home folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "configs"

    def names(self) -> list[str]:
        """Names of experiments that have a version, in order."""
        if not self._folder.is_dir():
            return []
        folders = sorted(path for path in self._folder.iterdir() if path.is_dir())
        return [name for name in map(_name_in, folders) if name]

    def save(self, settings: Mapping[str, Any], message: str = "", run_id: str = "") -> Version:
        """Add a version, unless it is the newest already (and no run is begun with it).

        Raises:
            ConfigInvalid: the settings are wrong, or the folder cannot be written.
        """
        config = _checked(settings)
        try:
            return self._history(config.experiment_name, may_make=True).save(
                config, message, run_id
            )
        except Misuse as error:
            raise ConfigInvalid(str(error)) from error

    def file_of(self, name: str, version: Version) -> Path:
        """The file of a version: it never changes."""
        return self._path(name) / "versions" / f"{version.id}.json"

    def versions(self, name: str) -> Sequence[Version]:
        """All saves, the newest first; none of a name that was never saved.

        Raises:
            ConfigInvalid: the list of saves cannot be read.
        """
        if not self._path(name).is_dir():
            return []
        try:
            return list(reversed(self._history(name).list()))
        except Misuse as error:
            raise ConfigInvalid(str(error)) from error

    def load(self, name: str, version: str = "latest") -> dict[str, Any]:
        """The settings of a version.

        Raises:
            ConfigInvalid: there is none, or its file was changed since.
        """
        try:
            return self._history(name).load(version).to_dict()
        except Misuse as error:
            raise ConfigInvalid(str(error)) from error

    def diff(self, name: str, before: str, after: str) -> Sequence[Change]:
        """The settings in which two versions differ.

        Raises:
            ConfigInvalid: as for `load`.
        """
        try:
            return self._history(name).diff(before, after)
        except Misuse as error:
            raise ConfigInvalid(str(error)) from error

    def restore(self, name: str, version: str) -> dict[str, Any]:
        """Make an earlier version the newest again; nothing is removed.

        Raises:
            ConfigInvalid: as for `load`.
        """
        try:
            return self._history(name).restore(version).to_dict()
        except Misuse as error:
            raise ConfigInvalid(str(error)) from error

    def _history(self, name: str, *, may_make: bool = False) -> ConfigHistory:
        if not may_make and not self._path(name).is_dir():
            raise ConfigInvalid(f"nothing is saved under the name {name!r:.80}")
        return ConfigHistory(self._path(name))

    def _path(self, name: str) -> Path:
        return self._folder / folder_name(name)


def _name_in(folder: Path) -> str:
    """The experiment's name as its newest version says; "" when none can be read."""
    try:
        return ConfigHistory(folder).load().experiment_name
    except Misuse:
        return ""


def version_row(version: Version) -> list[str]:
    """A save as a row of a table: id, when and by whom, what changed, why, for which run."""
    when = datetime.fromtimestamp(version.time_ns / 1e9, UTC).astimezone()
    what = (", ".join(version.changed) or "as before") if version.parent else "the first"
    return [
        version.id[:_SHOWN_ID_CHARS],
        f"{when:%Y-%m-%d %H:%M:%S} {version.who}@{version.host}",
        what,
        version.message,
        version.run_id,
    ]
