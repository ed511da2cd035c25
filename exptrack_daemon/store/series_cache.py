"""What a long-lived reader keeps of the runs that it is asked about: footers of parts, and journals' tails.

Nothing is locked against the daemon. Parts may be merged away while they are read: then the manifest is read
again. A part that cannot be read is passed over with all others of the run, and the journal answers; a notice
says so. Several threads may ask: each run has a lock, held while its parts are read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from exptrack_daemon.files import Files
from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import Cursor
from exptrack_daemon.store.compaction import Sizes
from exptrack_daemon.store.joining import Part
from exptrack_daemon.store.live import MOST_POINTS, LiveTail, TailTooLong
from exptrack_daemon.store.manifest import FOLDER, SINK, Manifest, ManifestNewer
from exptrack_daemon.store.pieces import PartName, PartUnusable

if TYPE_CHECKING:  # Parquet is only loaded where there is a file: a young run needs none
    from exptrack_daemon.store.parts import DiskPart

__all__ = ["RunSeries", "SeriesCache", "TailTooLong"]

Answer = TypeVar("Answer")
ReadCursor = Callable[[str, str], Cursor | None]
_TRIES = 4
_MOST_RUNS = 256
_MOST_TAIL_POINTS = 2 * MOST_POINTS


class RunSeries:
    """One run's parts and tail, as fresh as the journal at each question."""

    def __init__(
        self,
        files: Files,
        home: Home,
        run_id: str,
        read_cursor: ReadCursor,
        notice: Callable[[str], None],
    ) -> None:
        self._files, self._home, self._run_id = files, home, run_id
        self._read_cursor = read_cursor
        self._notice = notice
        self._lock = threading.Lock()
        self._manifest = Manifest()
        self._parts: dict[PartName, DiskPart] = {}
        self._tail: LiveTail | None = None
        self._spoilt: PartName | None = None
        self._too_long: Manifest | None = None
        self.tail_points = 0

    def ask(self, question: Callable[[Sequence[Part]], Answer]) -> Answer:
        """Put a question to all of the run's points as they stand now.

        Raises:
            TailTooLong: too much of the run is in no part; read its journal.
            JournalNewer, OSError: the journal cannot be read.
        """
        with self._lock:
            for _ in range(_TRIES):
                try:
                    return question(self._sources(self._read_manifest()))
                except FileNotFoundError:
                    self._forget()  # merged away meanwhile: the manifest names others now
                except PartUnusable as error:
                    self._blame(str(error))
            self._blame("parts that its manifest names are missing")
            return question(self._sources(Manifest()))

    def _read_manifest(self) -> Manifest:
        cursor = self._read_cursor(self._run_id, SINK)
        if cursor is None or cursor.state is None:
            return Manifest()
        try:
            manifest = Manifest.load(cursor.state)
        except (ManifestNewer, KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            self._notice(f"run {self._run_id}: its journal is read instead of its store: {error}")
            return Manifest()
        if self._spoilt is not None and self._spoilt in manifest.parts:
            return Manifest()
        return manifest

    def _sources(self, manifest: Manifest) -> Sequence[Part]:
        if manifest == self._too_long:
            raise TailTooLong(f"run {self._run_id}")
        self._parts = {name: self._open(name) for name in manifest.parts}
        if self._tail is None or not self._tail.drop_before(manifest.points):
            self._tail = LiveTail(
                self._files, self._home, self._run_id, manifest, Sizes().chunk_points
            )
        try:
            self._tail.refresh()
        except TailTooLong:
            self._too_long, self._tail, self.tail_points = manifest, None, 0
            raise
        except OSError:
            self._tail = None
            raise
        self.tail_points = len(self._tail)
        return [*self._parts.values(), *self._tail.parts()]

    def _open(self, name: PartName) -> DiskPart:
        from exptrack_daemon.store.parts import DiskPart

        held = self._parts.get(name)
        if held is not None:
            return held
        try:
            return DiskPart(self._home.run(self._run_id) / FOLDER, name)
        except PartUnusable:
            self._spoilt = name
            raise

    def _blame(self, reason: str) -> None:
        """Do without the parts, for as long as the manifest names the same."""
        self._notice(
            f"run {self._run_id}: its journal is read instead of its store: {reason};"
            f" rebuild it: exptrack replay {self._run_id} --to {SINK}"
        )
        if self._spoilt is None and self._parts:
            self._spoilt = next(iter(self._parts))
        self._forget()

    def _forget(self) -> None:
        self._parts, self._tail = {}, None


class SeriesCache:
    """The runs that were asked about last. May be used by several threads."""

    def __init__(self, make: Callable[[str], RunSeries]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, RunSeries] = OrderedDict()

    def run(self, run_id: str) -> RunSeries:
        """A run's series; those not asked about for long are let go of."""
        with self._lock:
            found = self._runs.pop(run_id, None) or self._make(run_id)
            self._runs[run_id] = found
            held = sum(run.tail_points for run in self._runs.values())
            while len(self._runs) > _MOST_RUNS or (
                held > _MOST_TAIL_POINTS and len(self._runs) > 1
            ):
                _, oldest = self._runs.popitem(last=False)
                held -= oldest.tail_points
            return found
