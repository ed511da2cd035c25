"""Asking a run to stop: a small file in the run's folder, which the intake passes on to its trainers.

It counts for the attempts that were open when it was written; one that is begun later is not meant.
"""

from __future__ import annotations

from exptrack_daemon.files import Files, replace_durably
from exptrack_daemon.home import Home

_MOST_REASON_CHARS = 500


def ask_to_stop(files: Files, home: Home, run_id: str, reason: str) -> None:
    """Leave the request; raises OSError when the folder takes nothing."""
    text = reason[:_MOST_REASON_CHARS].encode("utf-8", "replace")
    replace_durably(files, home.stop_request(run_id), text)


def stop_reason(home: Home, run_id: str, opened_ns: int) -> str:
    """Why somebody asked a stream of this run, opened then, to stop; "" when nobody did."""
    path = home.stop_request(run_id)
    try:
        if path.stat().st_mtime_ns <= opened_ns:
            return ""
        reason = path.read_bytes()[: 4 * _MOST_REASON_CHARS].decode("utf-8", "replace")
    except OSError:
        return ""
    return reason[:_MOST_REASON_CHARS] or "somebody asked for it"
