"""The TensorBoard sink: a run's journal as event files that look right on TensorBoard's screen.

    DIRECTORY/PROJECT/NAME/              rank 0: events.out.tfevents.…, one Event a row
    DIRECTORY/PROJECT/NAME/late          points that went back in step (late_2 … late_8 when they do so again)
    DIRECTORY/PROJECT/NAME/rank_3        rank 3, with a `late` of its own
    DIRECTORY/PROJECT/NAME/system        what the daemon's sampler saw of the machine

NAME is NAME_RUNID when another run has the folder already; a file in it says whose it is.

TensorBoard, numpy and Pillow are imported when the first run is opened, so that a daemon without them
works and says what is missing only when this sink is asked for.
"""

from __future__ import annotations

import importlib

from exptrack_daemon.errors import SinkBroken
from exptrack_daemon.sinks.base import RunInfo, SavedState, Sink, SinkContext
from exptrack_daemon.sinks.tensorboard.settings import read_settings

__all__ = ["open_sink"]

_NEEDED = ("tensorboard", "google_crc32c", "numpy", "PIL")


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> Sink:
    """Open one run's event files, cut back to what `saved` says (to nothing when None).

    Raises:
        ConfigInvalid: `[sinks.tensorboard]` holds an unknown key or a relative directory.
        SinkBroken: a library is missing, or the state was saved by a newer exptrack.
        SinkUnavailable: the folder or a file cannot be made or cut now.
    """
    settings = read_settings(context.settings, context.home)
    _require_libraries()
    from exptrack_daemon.sinks.tensorboard.sink import open_files

    return open_files(run, settings.directory, saved)


def _require_libraries() -> None:
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SinkBroken(
                f"the TensorBoard sink needs {module}: pip install 'exptrack[tensorboard]'"
            ) from error
