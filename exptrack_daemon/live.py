"""Which trainers are writing: kept in one small file, for the sampler and for the next start of the daemon.

A trainer that dies leaves its black box, and is found by it. Only when the machine went down is the box gone
too; then this file tells which streams have to be closed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from exptrack_daemon.files import Files, replace_durably
from exptrack_proto.frame import Frame
from exptrack_proto.records import Open


@dataclass(frozen=True, slots=True)
class LiveStream:
    """A trainer's stream that is open."""

    stream: str
    run_id: str
    rank: int
    host: str
    pid: int
    opened_ns: int
    sinks: Sequence[str] = ()
    """Sinks that it asked for by name."""


class LiveStreams:
    """The open streams; saved when they change."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._streams: dict[str, LiveStream] = {
            live.stream: live for live in read_live(files, path)
        }
        self._changed = False

    def all(self) -> list[LiveStream]:
        """A copy of what is open."""
        return list(self._streams.values())

    def add(self, frame: Frame, item: Open) -> None:
        if item.role != "trainer":
            return
        name = frame.stream.hex()
        self._streams[name] = LiveStream(
            name,
            frame.run_id,
            item.rank,
            item.host,
            item.pid,
            item.time_ns,
            tuple(item.sinks or ()),
        )
        self._changed = True

    def remove(self, stream: bytes) -> None:
        if self._streams.pop(stream.hex(), None) is not None:
            self._changed = True

    def save(self) -> None:
        """Replace the file, durably, if anything changed: a power cut is what it is for.

        A disk that does not take it is no reason to stop; the change is saved with the next one.
        """
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            data = json.dumps([asdict(live) for live in self._streams.values()]).encode()
            replace_durably(self._files, self._path, data)
            self._changed = False


def read_live(files: Files, path: Path) -> list[LiveStream]:
    """The streams that were open when the file was last written."""
    try:
        return [LiveStream(**entry) for entry in json.loads(files.read(path))]
    except (OSError, ValueError, TypeError):
        return []
