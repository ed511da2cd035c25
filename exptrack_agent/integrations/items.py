"""What the integrations share: a run of their own or the user's, files, notes, media."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack

from exptrack_agent.jsontext import json_text
from exptrack_agent.run import Run
from exptrack_agent.start import init
from exptrack_agent.values import clean_text
from exptrack_proto.limits import MAX_NAME_CHARS, MAX_STEP, MAX_TEXT_CHARS, MIN_STEP


class OwnedRun:
    """A run that is begun when it is first needed, unless the user handed one in.

    A run of one's own that ended (after a failure in a notebook, say) goes on as a new attempt when it is
    needed again. One that was handed in is never ended here.
    """

    def __init__(self, project: str, run: Run | None, options: Mapping[str, Any]) -> None:
        self.project = run.project if run is not None else project
        self._options = dict(options)
        self._given = run
        self._own: Run | None = None

    @property
    def opened(self) -> Run | None:
        """The run, if it was begun."""
        return self._given or self._own

    @property
    def id(self) -> str | None:
        """The run's id, as soon as it is known."""
        run = self.opened
        return run.id if run is not None else self._options.get("run_id")

    def open(self, **described: Any) -> Run:
        """The run; what is described is taken where the user said nothing, when it begins."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = init(self.project, **{**described, **self._options})
        elif self._own.is_finished and self._own.mode != "disabled":
            again = {**self._options, "run_id": self._own.id, "resume": "allow"}
            self._own = init(self.project, **{"name": self._own.name, **again})
        return self._own

    def finish(self, exit_code: int = 0) -> None:
        """End the run if it is one's own."""
        if self._own is not None:
            self._own.finish(exit_code)

    def __getstate__(self) -> dict[str, Any]:
        """To another process the run goes by its id; there it is joined when it is needed."""
        options = self._options
        if self.id is not None:
            options = {**options, "run_id": self.id, "resume": "allow"}
        return {"project": self.project, "_options": options, "_given": None, "_own": None}


def put_artifact(
    run: Run,
    path: str | Path,
    *,
    name: str,
    kind: str = "file",
    step: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Record a file or folder that belongs to the run; its bytes stay where they are, unread."""
    place = Path(path).expanduser().absolute()
    item = {
        "kind": "artifact",
        "time_ns": time.time_ns(),
        "step": max(MIN_STEP, min(MAX_STEP, int(step))),
        "name": clean_text(name)[:MAX_NAME_CHARS],
        "type": clean_text(kind)[:MAX_NAME_CHARS],
        "path": clean_text(str(place))[:MAX_TEXT_CHARS],
        "size_bytes": _size_bytes(place),
        "metadata": json_text(metadata or {}, "artifact's metadata"),
    }
    run.put_item(msgpack.packb(item))


def put_note(run: Run, text: str) -> None:
    """Write something down that one wants to know of the run."""
    note = {"kind": "note", "time_ns": time.time_ns(), "text": clean_text(text)[:MAX_TEXT_CHARS]}
    run.put_item(msgpack.packb(note))


def put_media(run: Run, name: str, media: Any, step: int, time_ns: int | None = None) -> None:
    """Log a media object beside the user's own rows: it does not count as the user's next step.

    Raises:
        NotScalar: it cannot be encoded; the message says why.
    """
    items = media.items(clean_text(name)[:MAX_NAME_CHARS], step, time_ns or time.time_ns())
    packed = [msgpack.packb(item) for item in items]
    with run.lock:
        for item in packed:
            if not run.put_item(item):
                return


def _size_bytes(place: Path) -> int:
    try:
        if place.is_dir():
            return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        return place.stat().st_size
    except OSError:
        return 0
