"""What of a run stands in parts, and where the journal goes on after them.

The manifest is the state that the store's sink keeps with its cursor: one file, replaced whole, so the cursor
and the parts are committed together. A part that no manifest names does not count, and is removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.store.pieces import PartName

VERSION = 1
SINK = "store"
FOLDER = "series"


class ManifestNewer(Exception):
    """A newer exptrack wrote the store of this run."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a run, in order, without gap."""

    parts: tuple[PartName, ...] = ()
    position: Position = START
    """Read the journal from here; rows before number `row` are in the parts …"""
    row: int = 0
    streams: tuple[Stream, ...] = field(default=())
    """… and these streams had begun by `position`."""
    closed: frozenset[str] = frozenset()
    chunk_points: int = 0
    """Where the sink ends its parts."""

    @property
    def points(self) -> int:
        """How many points the parts hold."""
        return self.parts[-1].end if self.parts else 0

    def dump(self) -> dict[str, Any]:
        """As JSON values, for the cursor."""
        return {
            "version": VERSION,
            "parts": [list(part) for part in self.parts],
            "position": list(self.position),
            "row": self.row,
            "streams": [msgspec.to_builtins(stream) for stream in self.streams],
            "closed": sorted(self.closed),
            "chunk_points": self.chunk_points,
        }

    @staticmethod
    def load(state: dict[str, Any]) -> Manifest:
        """Take up what `dump` gave.

        Raises:
            ManifestNewer: a newer exptrack wrote it.
            KeyError, TypeError, ValueError: it is none.
        """
        if state["version"] > VERSION:
            raise ManifestNewer("its store was written by a newer exptrack")
        return Manifest(
            tuple(PartName(*part) for part in state["parts"]),
            Position(*state["position"]),
            int(state["row"]),
            tuple(msgspec.convert(stream, Stream) for stream in state["streams"]),
            frozenset(state["closed"]),
            int(state["chunk_points"]),
        )
