"""A tracking database for tests, made once a process: making one takes MLflow seconds, copying it nothing."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import NamedTuple

from exptrack_daemon.home import Home
from exptrack_daemon.sinks.mlflow.process import load_mlflow
from exptrack_daemon.sinks.mlflow.settings import read_settings
from exptrack_daemon.sinks.mlflow.store import Store


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings({}, Home(Path(folder)))
        Store(load_mlflow(settings), settings).experiment("any")
        with sqlite3.connect(Path(folder, "mlflow", "mlflow.db")) as database:
            database.execute("DELETE FROM experiments WHERE name = 'any'")
            whole = database.serialize()
        database.close()
        return whole


def prepare(home: Path) -> Path:
    """Put an empty tracking database where the sink has it by default."""
    path = home / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_template())
    return path


class Held(NamedTuple):
    key: str
    value: float | None
    step: int
    time_ms: int


class Reader:
    """Reads what MLflow holds, from its database."""

    def __init__(self, home: Path) -> None:
        self._path = home / "mlflow" / "mlflow.db"

    def ask(self, query: str, *values: object) -> list[tuple]:
        connection = sqlite3.connect(self._path)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def runs(self) -> dict[str, str]:
        """Status by MLflow's run id."""
        return dict(self.ask("SELECT run_uuid, status FROM runs"))

    def metrics(self) -> list[Held]:
        rows = self.ask(
            "SELECT key, CASE is_nan WHEN 1 THEN NULL ELSE value END, step, timestamp FROM metrics"
            " ORDER BY key, timestamp, step"
        )
        return [Held(*row) for row in rows]

    def steps(self, key: str) -> list[int]:
        return [held.step for held in self.metrics() if held.key == key]

    def params(self) -> dict[str, str]:
        return dict(self.ask("SELECT key, value FROM params"))

    def tags(self) -> dict[str, str]:
        return dict(self.ask("SELECT key, value FROM tags"))

    def experiments(self) -> list[str]:
        names = [name for (name,) in self.ask("SELECT name FROM experiments")]
        return sorted(set(names) - {"Default"})

    def files(self) -> dict[str, bytes]:
        """Artifacts of all runs by path below the run's own."""
        root = self._path.parent / "artifacts"
        return {
            path.relative_to(root).as_posix().partition("/artifacts/")[2]: path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }


def remove(home: Path) -> None:
    shutil.rmtree(home / "mlflow")
