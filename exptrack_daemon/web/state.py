"""What one server holds, handed to every route."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from exptrack_daemon.clock import SystemClock
from exptrack_daemon.home import Home
from exptrack_daemon.web.index import RunIndex
from exptrack_daemon.web.readers import Readers

if TYPE_CHECKING:  # numpy is only loaded once something is drawn
    from exptrack_daemon.web.charts import Charts


class Studio:
    """Made once, before the server starts; closed with it. Nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.clock = SystemClock()
        self.readers = Readers(path)
        self.index = RunIndex(self.home, self.clock)
        self._charts: Charts | None = None
        self._lock = threading.Lock()

    @property
    def charts(self) -> Charts:
        """What draws; made at the first chart."""
        from exptrack_daemon.web.charts import Charts

        with self._lock:
            if self._charts is None:
                self._charts = Charts()
            return self._charts

    def close(self) -> None:
        self.readers.close()


def studio_of(request: Request) -> Studio:
    """The server's parts."""
    studio: Studio = request.app.state.studio
    return studio
