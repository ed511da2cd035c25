"""What one server holds, handed to every route."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.web.cache import ByteCache
from exptrack_daemon.web.index import RunIndex
from exptrack_daemon.web.readers import Readers
from exptrack_daemon.web.tensorboard import TensorBoardProcess

if TYPE_CHECKING:  # numpy is only loaded once something is drawn
    from exptrack_daemon.web.charts import Charts
    from exptrack_daemon.web.vitals import Watch

_MOST_ANSWER_BYTES = 64 << 20


class Studio:
    """Made once, before the server starts; closed with it. Nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.clock = SystemClock()
        self.readers = Readers(path)
        self.index = RunIndex(self.home, self.clock)
        self.answers: ByteCache[Any] = ByteCache(_MOST_ANSWER_BYTES)
        """Media and pictures, by what they depend on."""
        self._charts: Charts | None = None
        self.tensorboard = TensorBoardProcess(self.home)
        self._watch: Watch | None = None
        self._lock = threading.Lock()

    @property
    def charts(self) -> Charts:
        """What draws; made at the first chart."""
        from exptrack_daemon.web.charts import Charts

        with self._lock:
            if self._charts is None:
                self._charts = Charts()
            return self._charts

    @property
    def watch(self) -> Watch:
        """What looks at daemon, sinks and machine."""
        from exptrack_daemon.web.vitals import Watch

        with self._lock:
            if self._watch is None:
                self._watch = Watch(self.index, self.clock)
            return self._watch

    def close(self) -> None:
        """Wait for nobody but TensorBoard's end."""
        self.tensorboard.stop()
        self.readers.close()


def studio_of(request: Request) -> Studio:
    """The server's parts."""
    studio: Studio = request.app.state.studio
    return studio
