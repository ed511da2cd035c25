"""The sink behind fast charts: a run's points as sorted Parquet parts, with cells for what is long.

    runs/RUN_ID/series/START-END.parquet   see `exptrack_daemon.store.parts`

pyarrow and numpy are imported when the first run is opened, so that a daemon without them works and says
what is missing only when this sink is asked for.
"""

from __future__ import annotations

import importlib

from exptrack_daemon.errors import ConfigInvalid, SinkBroken
from exptrack_daemon.sinks.base import RunInfo, SavedState, Sink, SinkContext

__all__ = ["open_sink"]


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> Sink:
    """Open one run's parts, cut back to what `saved` names (to nothing when None).

    Raises:
        ConfigInvalid: `[sinks.store]` holds a setting; it has none.
        SinkBroken: a library is missing, or the state was saved by a newer exptrack.
        SinkUnavailable: the folder cannot be made or read now.
    """
    if context.settings:
        raise ConfigInvalid(f"[sinks.store] has no setting {min(context.settings)!r}")
    for module in ("numpy", "pyarrow"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SinkBroken(
                f"the store sink needs {module}: pip install 'exptrack[daemon]'"
            ) from error
    from exptrack_daemon.sinks.store.sink import open_store

    return open_store(run, context, saved)
