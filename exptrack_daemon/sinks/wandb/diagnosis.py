"""Why wandb's service gave up uploading: it says so only in its own log."""

from __future__ import annotations

import json
import re
from pathlib import Path

_LOG_NAME = Path("logs/debug-internal.log")
_MAX_BYTES = 1024 * 1024
_UPLOAD_REFUSED = re.compile(r"failed to upload: (?P<status>.*?)(?: url=|$)")


def refusal_of(session_folder: Path) -> str | None:
    """Such as `413 Request Entity Too Large`; None when the log does not say."""
    try:
        with (session_folder / _LOG_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _MAX_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    found = (refusal_in(line) for line in reversed(lines) if b"fatal error" in line)
    return next((reason for reason in found if reason), None)


def refusal_in(line: bytes) -> str | None:
    """What one line of the log says. Pure."""
    try:
        message = str(json.loads(line).get("msg", ""))
    except (ValueError, AttributeError):
        return None
    refused = _UPLOAD_REFUSED.search(message)
    return refused["status"] if refused else message.partition(":")[2].strip() or None
