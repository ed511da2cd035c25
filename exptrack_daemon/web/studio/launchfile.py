"""HOME/launch.toml: the scripts that the studio may start. A browser chooses a name, never a word.

    [[script]]
    name = "digits"
    about = "The CNN on handwritten digits"
    argv = ["{python}", "train.py", "--config", "{config}"]    # one item an argument; no shell reads it
    cwd = "/home/ada/digits"                                   # else the home folder; relative to it
    environ = { OMP_NUM_THREADS = "1" }

`{config}` becomes the path of the configuration's file, `{run_id}` the run's id, `{home}` the home folder,
`{python}` the interpreter that serves the studio.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exptrack_daemon.errors import ConfigInvalid

_MOST_BYTES = 256 * 1024
_KEYS = {"name", "about", "argv", "cwd", "environ"}
_LOOSE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One allowed entry point."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    about: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)

    def command(self, places: Mapping[str, str]) -> list[str]:
        """The arguments, with `{…}` of these names filled in; other braces stay as they are."""
        return [_filled(argument, places) for argument in self.argv]


def launch_file(home: Path) -> Path:
    """Where the list stands."""
    return home / "launch.toml"


def read_scripts(home: Path) -> dict[str, Script]:
    """The allowed scripts by name; none when there is no such file.

    Raises:
        ConfigInvalid: the file is wrong, or others may write it.
    """
    path = launch_file(home)
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from error
    if found.st_uid not in (os.getuid(), 0) or found.st_mode & _LOOSE:
        raise ConfigInvalid(f"others may write {path}, so nothing in it is started: chmod go-w it")
    if len(data) > _MOST_BYTES:
        raise ConfigInvalid(f"{path} is larger than {_MOST_BYTES // 1024} KiB")
    try:
        return scripts_from(tomllib.loads(data.decode("utf-8")), home)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} is no TOML: {error}") from error
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{path}: {error}") from error


def scripts_from(document: Mapping[str, Any], home: Path) -> dict[str, Script]:
    """The scripts of a parsed file.

    Raises:
        ConfigInvalid: a key is unknown or has another type; the message says which.
    """
    unknown = sorted(set(document) - {"script"})
    if unknown:
        raise ConfigInvalid(f"there is no setting {unknown[0]!r}; each script is a [[script]]")
    tables = document.get("script", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigInvalid("each script is a table of its own: [[script]]")
    scripts: dict[str, Script] = {}
    for table in tables:
        script = _script(table, home)
        if script.name in scripts:
            raise ConfigInvalid(f"two scripts are called {script.name!r}")
        scripts[script.name] = script
    return scripts


def _script(table: Mapping[str, Any], home: Path) -> Script:
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigInvalid("a script has no name")
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ConfigInvalid(f"script {name!r} has no setting {unknown[0]!r}")
    argv = table.get("argv")
    if not isinstance(argv, list) or not argv or not all(map(_is_argument, argv)):
        raise ConfigInvalid(f"argv of script {name!r} is a list of texts, the program first")
    environ = table.get("environ", {})
    if not isinstance(environ, dict) or not all(map(_is_argument, environ.values())):
        raise ConfigInvalid(f"environ of script {name!r} is a table of texts")
    about, cwd = table.get("about", ""), table.get("cwd", "")
    if not isinstance(about, str) or not isinstance(cwd, str) or "\0" in cwd:
        raise ConfigInvalid(f"about and cwd of script {name!r} are texts")
    folder = home / Path(cwd).expanduser()
    return Script(name=name, argv=tuple(argv), cwd=folder, about=about, environ=environ)


def _is_argument(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _filled(argument: str, places: Mapping[str, str]) -> str:
    for name, value in places.items():
        argument = argument.replace("{" + name + "}", value)
    return argument
