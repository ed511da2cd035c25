"""Our static pages: only files that stand in their folder, each with an ETag, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class Pages(StaticFiles):
    """A folder of files; links are not followed, hidden files not shown. Browsers ask each time (ETag)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file, or nothing for a name that could mean something else."""
        parts = Path(path).parts
        if any(part.startswith(".") and part != "." for part in parts) or "\0" in path:
            return "", None
        return super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; always to be asked for again, so that a new version is seen at once."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
