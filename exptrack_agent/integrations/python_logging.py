"""The standard library's `logging`: a handler that puts log lines beside the curves.

    logging.getLogger().addHandler(RunHandler(run, level=logging.INFO))

Each line becomes a text named `logs`, with the number of the line as its step, so that TensorBoard shows
every one and the run's own steps are not touched. A flood is bounded: what is left out is counted, and the
next line says how much.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from exptrack_agent.integrations.items import put_media
from exptrack_agent.integrations.pace import Pace
from exptrack_agent.media import Text
from exptrack_agent.run import Run

_OURS = ("exptrack", "exptrack_agent")
_ALERT_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"))


class RunHandler(logging.Handler):
    """Forwards log records into a run.

    Args:
        run: from `exptrack_agent.init`.
        level: from which level on.
        name: of the texts.
        per_s: lines a second, in the long run.
        burst: lines at once.
        alert_level: records from this level on become alerts too; None: none do.
    """

    def __init__(
        self,
        run: Run,
        level: int | str = logging.INFO,
        *,
        name: str = "logs",
        per_s: float = 20,
        burst: int = 200,
        alert_level: int | None = None,
    ) -> None:
        super().__init__(level)
        self.lines = 0
        """Lines forwarded so far."""
        self._run = run
        self._text_name = name
        self._pace = Pace(per_s, burst)
        self._alert_level = alert_level
        self._inside = threading.local()

    def filter(self, record: logging.LogRecord) -> Any:
        """Our own words stay out: they may be about this very run."""
        if record.name.partition(".")[0] in _OURS:
            return False
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record, unless it comes from within the forwarding of another."""
        if getattr(self._inside, "busy", False) or self._run.is_finished:
            return
        self._inside.busy = True
        try:
            self._forward(record)
        except Exception:  # noqa: BLE001  # a handler's boundary: logging has its own way to say it
            self.handleError(record)
        finally:
            self._inside.busy = False

    def _forward(self, record: logging.LogRecord) -> None:
        if not self._pace.lets_pass(time.monotonic()):
            return
        text = f"**{record.levelname}** `{record.name}` {self.format(record)}"
        left_out = self._pace.take_left_out()
        if left_out:
            text = f"*({left_out:,} lines left out)*\n\n{text}"
        put_media(self._run, self._text_name, Text(text), self.lines, int(record.created * 1e9))
        self.lines += 1
        if self._alert_level is not None and record.levelno >= self._alert_level:
            level = next((word for at, word in _ALERT_LEVELS if record.levelno >= at), "info")
            self._run.alert(record.getMessage()[:1_000], f"logger {record.name}", level)
