"""MLflow, through its real library: one MLflow run for each run of ours, in the experiment of its project.

What stands where: settings (daemon.toml), names, pictures, files, said (pure: entries to what MLflow is
told), process (the library and its environment), store (MLflow's client, and what its answers mean),
opened, sink.
"""

from __future__ import annotations

from exptrack_daemon.sinks.base import RunInfo, SavedState, Sink, SinkContext
from exptrack_daemon.sinks.mlflow.process import load_mlflow
from exptrack_daemon.sinks.mlflow.settings import read_settings
from exptrack_daemon.sinks.mlflow.sink import MlflowSink

__all__ = ["open_sink"]


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> Sink:
    """Asks MLflow nothing yet; that begins with the first batch.

    Raises:
        ConfigInvalid: `[sinks.mlflow]` holds an unknown key, or a value that does not fit.
        SinkBroken: a library is missing.
    """
    settings = read_settings(context.settings, context.home)
    library = load_mlflow(settings)
    return MlflowSink(run, settings, library, saved)
