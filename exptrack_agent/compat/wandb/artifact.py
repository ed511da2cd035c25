"""`wandb.Artifact`, as far as exptrack has it: files that belong to a run, recorded where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exptrack_agent.compat.wandb.errors import Error
from exptrack_agent.integrations.items import put_artifact, put_note
from exptrack_agent.jsontext import json_text
from exptrack_agent.run import Run


class Artifact:
    """Some files under one name. Nothing is copied or uploaded."""

    def __init__(
        self,
        name: str,
        type: str = "artifact",  # noqa: A002  # W&B's name
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **_others: Any,
    ) -> None:
        self.name, self.type = name, type
        self.description = description
        self.metadata = dict(metadata or {})
        self.aliases: list[str] = []
        self.files: dict[str, str] = {}
        """Paths by name within the artifact."""

    def add_file(self, local_path: str | Path, name: str | None = None, **_others: Any) -> None:
        """Add a file.

        Raises:
            ValueError: there is no such file.
        """
        path = Path(local_path)
        if not path.is_file():
            raise ValueError(f"Path is not a file: {str(local_path)!r}")
        self.files[name or path.name] = str(path)

    def add_dir(self, local_path: str | Path, name: str | None = None, **_others: Any) -> None:
        """Add the files of a folder.

        Raises:
            ValueError: there is no such folder.
        """
        folder = Path(local_path)
        if not folder.is_dir():
            raise ValueError(f"Path is not a directory: {str(local_path)!r}")
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            self.files[str(Path(name or "", path.relative_to(folder)))] = str(path)

    def add_reference(self, uri: str, name: str | None = None, **_others: Any) -> None:
        """Add what stands somewhere else."""
        self.metadata.setdefault("references", []).append(uri)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Nothing to wait for."""
        return self

    def download(self, *_arguments: Any, **_keywords: Any) -> str:
        """Not here.

        Raises:
            Error: always; the message says where the files are.
        """
        where = (
            f" Its files are where they were: {sorted(self.files.values())}." if self.files else ""
        )
        raise Error(
            f"exptrack keeps no copy of artifact {self.name!r}, so there is nothing to download.{where}"
            " `exptrack show RUN` lists the paths of a run's artifacts."
        )


def record(run: Run, artifact: Artifact, aliases: Sequence[str], step: int) -> None:
    """Record each file of an artifact with the run."""
    artifact.aliases = list(aliases) or ["latest"]
    about = {**artifact.metadata, "aliases": artifact.aliases}
    if artifact.description:
        about["description"] = artifact.description
    if not artifact.files:
        put_note(run, f"artifact {artifact.name}: {json_text(about, 'artifact')}")
    for name, path in artifact.files.items():
        full = artifact.name if len(artifact.files) == 1 else f"{artifact.name}/{name}"
        put_artifact(run, path, name=full, kind=artifact.type, step=step, metadata=about)


def of_path(path: str | Path, name: str | None, kind: str | None) -> Artifact:
    """The artifact of a file or folder."""
    place = Path(path)
    artifact = Artifact(name or place.name, kind or "unspecified")
    if place.is_dir():
        artifact.add_dir(place)
    else:
        artifact.add_file(place)
    return artifact
