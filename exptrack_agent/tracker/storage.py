"""Configurations as files: JSON with a format version, written whole or not at all, older ones migrated.

    {"kind": "exptrack.experiment", "format": 1, "config": {…}}

Format 0 is what scripts wrote before there was a version: the bare settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.errors import Misuse

FORMAT = 1
_KIND = "exptrack.experiment"
_MOST_BYTES = 4 * 1024 * 1024


def write_document(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write settings to a file.

    Raises:
        Misuse: the folder is missing or cannot be written.
    """
    document = {"kind": _KIND, "format": FORMAT, "config": settings}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        replace_file(path, text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_document(path: Path) -> dict[str, Any]:
    """The settings in a file, in today's format.

    Raises:
        Misuse: there is no such file, or it holds no configuration that this exptrack can read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misuse(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise Misuse(f"{path} is larger than any configuration")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{path} is not JSON: {error}") from error
    return migrated(document, str(path))


def migrated(document: object, source: str) -> dict[str, Any]:
    """The settings of a document of any known format.

    Raises:
        Misuse: it is of a newer format, or no configuration.
    """
    if not isinstance(document, dict):
        raise Misuse(f"{source} holds no configuration but a {type(document).__name__}")
    format_number = document.get("format", 0)
    if type(format_number) is not int or format_number < 0:
        raise Misuse(f"{source} says format {format_number!r:.40}, which is none")
    if format_number > FORMAT:
        raise Misuse(
            f"{source} is of format {format_number}, newer than {FORMAT}, which this exptrack knows"
        )
    for number in range(format_number, FORMAT):
        document = _MIGRATIONS[number](document)
    if document.get("kind") != _KIND or not isinstance(document.get("config"), dict):
        raise Misuse(f"{source} holds no configuration of an experiment")
    settings: dict[str, Any] = document["config"]
    return settings


def _from_bare(document: dict[str, Any]) -> dict[str, Any]:
    """Before format 1: the settings alone, with empty texts where nothing was meant."""
    settings = {key: value for key, value in document.items() if key != "format"}
    for key in ("run_name", "wandb_entity", "wandb_group", "wandb_job_type"):
        if settings.get(key) == "":
            settings[key] = None
    if settings.get("tags") is None:
        settings.pop("tags", None)
    return {"kind": _KIND, "format": 1, "config": settings}


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_bare}
"""By format, the step to the next one."""


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in place of another (or of none) so that a reader sees one of the two, whole.

    Raises:
        OSError: it cannot be written now; the file is as it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, no path
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def usable_folder(path: str | os.PathLike[str], setting: str) -> Path:
    """The folder, absolute, made where it was missing.

    Raises:
        Misuse: it cannot be made or written; the message names the setting.
    """
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Misuse(f"{setting} {folder} cannot be written: {error.strerror or error}") from error
    return folder
