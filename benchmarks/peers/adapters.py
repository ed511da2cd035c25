"""One small class a tracker: open, log a row, finish, and count the rows that a reader finds afterwards.

Runs in each tracker's own environment, so it imports nothing of this project and nothing but the standard
library before a tracker is chosen. All are used locally or offline, with automatic capture off where they
have a switch, as their documentation shows it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, float]


class Tracker(Protocol):
    """What is asked of each; made in an empty folder, which is also the working folder."""

    def __init__(self, folder: Path) -> None: ...
    def log(self, row: Row, step: int) -> None: ...
    def finish(self) -> None: ...

    @staticmethod
    def rows(folder: Path) -> int:
        """Rows (steps of the first metric) that its own reader, or its files, hold."""
        ...


class Exptrack:
    def __init__(self, folder: Path) -> None:
        import exptrack_agent as xt

        self._run = xt.init("peers", run_id="peers", home=folder / "home")
        self.log = self._run.log

    def finish(self) -> None:
        self._run.finish(timeout_s=60)

    @staticmethod
    def rows(folder: Path) -> int:
        from exptrack_daemon.store import open_home

        home = ["--home", str(folder / "home")]
        subprocess.run(
            [sys.executable, "-m", "exptrack_daemon", "recover", *home], check=True, stdout=2
        )
        return len(open_home(folder / "home").series("peers", ["m0"])["m0"])


class SummaryWriter:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter as Writer

        self._writer = Writer(str(folder))

    def log(self, row: Row, step: int) -> None:
        for name, value in row.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self._writer.close()

    @staticmethod
    def rows(folder: Path) -> int:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        files = sorted(folder.glob("events*"))
        return sum(
            value.tag == "m0"
            for path in files
            for event in EventFileLoader(str(path)).Load()
            for value in event.summary.value
        )


class Wandb:
    def __init__(self, folder: Path) -> None:
        import wandb

        settings = wandb.Settings(
            console="off", x_disable_stats=True, x_disable_meta=True, silent=True
        )
        self._run = wandb.init(project="peers", mode="offline", dir=str(folder), settings=settings)

    def log(self, row: Row, step: int) -> None:
        self._run.log(row, step=step)

    def finish(self) -> None:
        self._run.finish()

    @staticmethod
    def rows(folder: Path) -> int:
        from exptrack_daemon.sinks.wandb.readback import lines_held

        return lines_held(folder / "wandb")


class Trackio:
    def __init__(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder)
        import trackio

        self._trackio = trackio
        trackio.init(
            project="peers", name="peers", auto_log_gpu=False, auto_log_cpu=False, embed=False
        )

    def log(self, row: Row, step: int) -> None:
        self._trackio.log(row, step=step)

    def finish(self) -> None:
        self._trackio.finish()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "*.db", "SELECT count(*) FROM metrics")


class Mlflow:
    def __init__(self, folder: Path) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.start_run()

    def log(self, row: Row, step: int) -> None:
        self._mlflow.log_metrics(row, step=step)

    def finish(self) -> None:
        self._mlflow.end_run()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "mlflow.db", "SELECT count(*) FROM metrics WHERE key = 'm0'")


class NeptuneScale:
    def __init__(self, folder: Path) -> None:
        from neptune_scale import Run

        self._run = Run(
            run_id="peers",
            project="w/peers",
            mode="offline",
            log_directory=str(folder),
            enable_console_log_capture=False,
            source_tracking_config=None,
        )

    def log(self, row: Row, step: int) -> None:
        self._run.log_metrics(row, step=step)

    def finish(self) -> None:
        self._run.close()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "*.sqlite3", "SELECT count(*) - 1 FROM run_operations")


class SwanLab:
    def __init__(self, folder: Path) -> None:
        import swanlab

        self._run = swanlab.init(project="peers", mode="offline", log_dir=str(folder))

    def log(self, row: Row, step: int) -> None:
        self._run.log(row, step=step)

    def finish(self) -> None:
        self._run.finish()


class Aim:
    def __init__(self, folder: Path) -> None:
        from aim import Run

        self._run = Run(
            repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False
        )

    def log(self, row: Row, step: int) -> None:
        self._run.track(row, step=step)

    def finish(self) -> None:
        self._run.close()

    @staticmethod
    def rows(folder: Path) -> int:
        from aim import Repo

        found = Repo.from_path(str(folder)).query_metrics("metric.name == 'm0'")
        return sum(len(metric.values) for run in found.iter_runs() for metric in run)


class Kohakuboard:
    def __init__(self, folder: Path) -> None:
        from kohakuboard.client import Board

        self._board = Board(name="peers", project="peers", base_dir=folder, capture_output=False)

    def log(self, row: Row, step: int) -> None:
        self._board.log(**row)

    def finish(self) -> None:
        self._board.finish()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "m0.db", "SELECT max(length) FROM kvault_col_columns")


class Goodseed:
    def __init__(self, folder: Path) -> None:
        import goodseed

        self._run = goodseed.Run(
            project="peers",
            goodseed_home=folder,
            capture_hardware_metrics=False,
            capture_stdout=False,
            capture_stderr=False,
            storage="local",
        )

    def log(self, row: Row, step: int) -> None:
        self._run.log_metrics(row, step=step)

    def finish(self) -> None:
        self._run.close()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "*.sqlite", "SELECT count(DISTINCT step) FROM metric_points")


class Trailer:
    def __init__(self, folder: Path) -> None:
        from trailer import Tracker as Run

        self._run = Run(project="peers", db_path=str(folder / "trailer.db"), auto_collect=False)
        self.log = self._run.log

    def finish(self) -> None:
        self._run.finish()

    @staticmethod
    def rows(folder: Path) -> int:
        return counted(folder, "trailer.db", "SELECT count(DISTINCT step) FROM metrics")


class Expman:
    def __init__(self, folder: Path) -> None:
        from expman import Experiment

        self._run = Experiment(
            "peers",
            run_name="peers",
            base_dir=str(folder),
            redirect_console=False,
            system_metrics_interval_secs=0,
            capture_provenance=False,
        )
        self.log = self._run.log_vector

    def finish(self) -> None:
        self._run.close()

    @staticmethod
    def rows(folder: Path) -> int:
        from expman import read_metrics

        return len(read_metrics(str(folder / "peers" / "peers")))


def counted(folder: Path, pattern: str, query: str) -> int:
    """The number that a query gives, over all databases of that name."""
    found = 0
    for path in folder.rglob(pattern):
        with sqlite3.connect(path) as connection:
            found += int(connection.execute(query).fetchone()[0])
    return found


TRACKERS: dict[str, Callable[[Path], Any]] = {
    "exptrack": Exptrack,
    "SummaryWriter": SummaryWriter,
    "wandb": Wandb,
    "trackio": Trackio,
    "mlflow": Mlflow,
    "neptune-scale": NeptuneScale,
    "swanlab": SwanLab,
    "aim": Aim,
    "kohakuboard": Kohakuboard,
    "goodseed": Goodseed,
    "trailer": Trailer,
    "expman": Expman,
}


def can_count(name: str) -> bool:
    """Whether what a tracker stored can be counted from outside."""
    return hasattr(TRACKERS[name], "rows")


def count(name: str, folder: Path) -> int:
    """The rows that are there."""
    return int(TRACKERS[name].rows(folder))  # type: ignore[attr-defined]


if __name__ == "__main__":
    print(json.dumps(count(sys.argv[1], Path(sys.argv[2]))))
