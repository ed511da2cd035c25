"""What the tabs share: one home folder, its configurations, and the one job table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.store.reader import HomeReader, open_home
from exptrack_daemon.web.studio.experiments import Experiments, run_id_for
from exptrack_daemon.web.studio.jobs import Jobs, JobSpec, JobView
from exptrack_daemon.web.studio.launchfile import read_scripts

_SIMULATION = "exptrack_daemon.web.studio.simulation"
_MOST_STEPS = 1_000_000
_MOST_BATCH = 100_000
_MOST_PAUSE_MS = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationChoice:
    """What was typed for a simulation; `problems` says what of it cannot be meant."""

    steps: Any
    learning_rate: Any
    batch_size: Any
    max_gradient_norm: Any
    pause_ms: Any

    def problems(self) -> dict[str, str]:
        """By field, what is wrong."""
        checks = {
            "steps": _whole("steps", self.steps, _MOST_STEPS),
            "learning_rate": _above("learning rate", self.learning_rate, 1e30),
            "batch_size": _whole("batch size", self.batch_size, _MOST_BATCH),
            "max_gradient_norm": _above("maximal gradient norm", self.max_gradient_norm, 1e30),
            "pause_ms": _above("pause", self.pause_ms, _MOST_PAUSE_MS, least=0.0),
        }
        return {name: problem for name, problem in checks.items() if problem}

    def options(self) -> list[str]:
        """The choice as the simulation's command line."""
        return [
            *("--steps", str(int(self.steps)), "--batch-size", str(int(self.batch_size))),
            *("--learning-rate", repr(float(self.learning_rate))),
            *("--max-gradient-norm", repr(float(self.max_gradient_norm))),
            *("--pause-ms", repr(float(self.pause_ms))),
        ]


def _whole(name: str, value: Any, most: int) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and float(value).is_integer() and 1 <= value <= most:
        return ""
    return f"{name} is a whole number from 1 to {most:,}, not {_shown(value)}"


def _above(name: str, value: Any, most: float, *, least: float | None = None) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (value > 0 if least is None else value >= least) and value <= most:
        return ""
    rest = "above 0" if least is None else f"from {least:g}"
    return f"{name} is a number {rest} to {most:g}, not {_shown(value)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"


class Parts:
    """Starts what the tabs ask for. No reader is kept: each handler's thread opens its own."""

    def __init__(self, home: Path, jobs: Jobs) -> None:
        self.home = home
        self.jobs = jobs
        self.experiments = Experiments(home)

    def reader(self) -> HomeReader:
        return open_home(self.home)

    def simulate(self, settings: Mapping[str, Any], choice: SimulationChoice) -> JobView:
        """Start the simulation with a configuration, whose version is kept with the run's id.

        Raises:
            ExptrackError: the choice is wrong, too many jobs run, or nothing can be written.
        """
        problems = choice.problems()
        if problems:
            raise ConfigInvalid("; ".join(problems.values()))
        run_id, path = self._kept(settings)
        command = [sys.executable, "-P", "-m", _SIMULATION, "--config", str(path)]
        return self.jobs.start(
            JobSpec(
                title="Simulation",
                command=[*command, *choice.options()],
                run_id=run_id,
                cwd=self.home,
                environ=self._environ(run_id, path),
                steps=int(choice.steps),
            )
        )

    def launch(self, name: str, settings: Mapping[str, Any]) -> JobView:
        """Start a script of HOME/launch.toml, as that file says now.

        Raises:
            ExptrackError: there is no such script, the file is wrong, or as for `simulate`.
        """
        scripts = read_scripts(self.home)
        if name not in scripts:
            raise ConfigInvalid(f"launch.toml allows no script {name!r:.80}")
        script = scripts[name]
        run_id, path = self._kept(settings)
        places = {"config": str(path), "run_id": run_id, "home": str(self.home)}
        return self.jobs.start(
            JobSpec(
                title=name,
                command=script.command(places | {"python": sys.executable}),
                run_id=run_id,
                cwd=script.cwd,
                environ={**script.environ, **self._environ(run_id, path)},
            )
        )

    def _kept(self, settings: Mapping[str, Any]) -> tuple[str, Path]:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_id = run_id_for(settings)
        version = self.experiments.save(settings, "started from the studio", run_id)
        return run_id, self.experiments.file_of(settings["experiment_name"], version)

    def _environ(self, run_id: str, config: Path) -> dict[str, str]:
        return {
            "EXPTRACK_HOME": str(self.home),
            "EXPTRACK_RUN_ID": run_id,
            "EXPTRACK_CONFIG": str(config),
        }
