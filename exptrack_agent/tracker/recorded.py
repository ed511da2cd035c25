"""Recording a run's state: its configuration's version at once, what reproduces it when it is gathered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.errors import Misuse
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.settings import identity
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.history import ConfigHistory
from exptrack_agent.tracker.pictures import put_items
from exptrack_agent.tracker.reproduction import Gathering, artifact_fields, gather
from exptrack_agent.tracker.storage import replace_file


class RecordedState:
    """The state of one run, recorded by its first rank: the others run the same code.

    Raises:
        Misuse: `config_save_dir` cannot be used.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self._config = config
        folder = config.config_save_dir
        self._history = None if folder is None else ConfigHistory(folder)
        self._gathering: Gathering | None = None

    def begin(self, run: Run, seeds: Mapping[str, int]) -> None:
        """Record for this run; what takes time is done by a thread."""
        if identity().rank != 0:
            return
        version = self._save_version(run)
        if run.mode == "disabled":
            return
        config, folder = self._config, Path.cwd()

        def take() -> dict[str, Any]:
            found = gather(
                source=config.record_source,
                environment=config.record_environment,
                seeds=seeds,
                folder=folder,
            )
            return {**found, "config": config.to_dict(), "config_version": version}

        self._gathering = Gathering(take, lambda document: self._record(run, document))

    @property
    def problem(self) -> str:
        """Why the state was not recorded, or ""."""
        return self._gathering.problem if self._gathering is not None else ""

    def wait(self, timeout_s: float) -> bool:
        """Whether it is recorded within that time."""
        return self._gathering is None or self._gathering.wait(timeout_s)

    def _save_version(self, run: Run) -> str:
        if self._history is None:
            return ""
        try:
            return self._history.save(self._config, run_id=run.id).id
        except Misuse as error:  # the folder was good a moment ago: the disk, not the caller
            say_once("history", f"the configuration's version was not kept: {error}")
            return ""

    def _record(self, run: Run, document: dict[str, Any]) -> None:
        path, document = "", run.redacted(document)
        if self._history is not None:
            kept = self._history.folder / "runs" / f"{run.id}.json"
            kept.parent.mkdir(exist_ok=True)
            replace_file(kept, json.dumps(document, indent=2).encode())
            path = str(kept)
        fields = artifact_fields(document, path)
        put_items(run, [{"kind": "artifact", "time_ns": time.time_ns(), **fields}])
