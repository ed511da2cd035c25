"""What the store's parts of a run hold, every checksum checked, against the journal: for `verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from exptrack_daemon.journal.entries import Entry, Rows, Stream

if TYPE_CHECKING:  # pyarrow is only loaded where there are parts
    from exptrack_daemon.store.door import PointsDoor
    from exptrack_daemon.store.manifest import Manifest

Key: TypeAlias = tuple[str, int, str, int]
"""Role, rank, name, attempt."""
_TRIES = 4


@dataclass(slots=True)
class StoreAudit:
    """The points in parts, by series, and those of the journal's rows that should be there."""

    row: int = 0
    """Rows before this one are in parts."""
    held: Counter[Key] = field(default_factory=Counter)
    problem: str = ""
    _rows: Counter[tuple[str, int, int, tuple[str, ...]]] = field(default_factory=Counter)

    def take(self, entry: Entry) -> None:
        """The next entry of the journal."""
        if not isinstance(entry, Rows) or entry.ordinal >= self.row:
            return
        who = _who(entry.stream)
        self._rows.update(
            (*who, tuple(row.values)) for row in entry.rows[: self.row - entry.ordinal]
        )

    @property
    def points(self) -> int:
        """How many points the parts hold."""
        return self.held.total()

    def verdict(self) -> str:
        """What is wrong; "" when the parts hold what they should."""
        if self.problem:
            return self.problem
        expected: Counter[Key] = Counter()
        for (role, rank, attempt, names), rows in self._rows.items():
            for name in names:
                expected[role, rank, name, attempt] += rows
        for role, rank, name, attempt in sorted({*expected, *self.held}):
            key = (role, rank, name, attempt)
            if expected[key] != self.held[key]:
                return (
                    f"it holds {self.held[key]} points of {name!r} (rank {rank}, attempt {attempt}),"
                    f" the journal has {expected[key]}"
                )
        return ""


def _who(stream: Stream) -> tuple[str, int, int]:
    return stream.role, stream.rank, stream.attempt


def read_store(door: PointsDoor, run_id: str) -> StoreAudit | None:
    """Read all parts of a run; None when it has no store. Parts may be merged meanwhile."""
    for _ in range(_TRIES):
        cursor = door.cursor(run_id, "store")
        if cursor is None or cursor.state is None:
            return None
        try:
            return _read(door.home.run(run_id), cursor.state)
        except FileNotFoundError:
            continue
        except ImportError as error:
            return StoreAudit(problem=f"its parts cannot be read without {error.name}")
    return StoreAudit(problem="parts that its manifest names are missing")


def _read(run: Path, state: Mapping[str, object]) -> StoreAudit:
    from exptrack_daemon.store.manifest import FOLDER, Manifest, ManifestNewer
    from exptrack_daemon.store.parts import DiskPart
    from exptrack_daemon.store.pieces import PartUnusable

    try:
        manifest: Manifest = Manifest.load(dict(state))
        audit = StoreAudit(manifest.row)
        end = 0
        for name in manifest.parts:
            if name.start != end:
                return StoreAudit(problem=f"points {end} to {name.start - 1} are in no part")
            end = name.end
            part = DiskPart(run / FOLDER, name)
            part.points()
            for key, place in part.slices.items():
                audit.held[key[:4]] += place.length
    except (ManifestNewer, PartUnusable, KeyError, TypeError, ValueError) as error:
        return StoreAudit(problem=str(error))
    return audit
