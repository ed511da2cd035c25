"""Sinks that runs asked for by name: remembered, so that the next daemon serves those runs too."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from exptrack_daemon.files import Files, replace_durably

logger = logging.getLogger(__name__)


class AskedSinks:
    """Names in one small file."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._names = self._load()

    def all(self) -> list[str]:
        """In a fixed order."""
        return sorted(self._names)

    def add(self, name: str) -> None:
        """Remember a name. If the disk refuses, it is asked for again by the next run."""
        if name in self._names:
            return
        self._names.add(name)
        try:
            replace_durably(self._files, self._path, json.dumps(self.all()).encode())
        except OSError as error:
            logger.warning("That runs want %s cannot be remembered: %s.", name, error)

    def _load(self) -> set[str]:
        try:
            names = json.loads(self._files.read(self._path))
        except (OSError, ValueError):
            return set()
        return (
            {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
        )
