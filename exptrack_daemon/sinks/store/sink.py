"""The shell around gathering and compaction: one run's parts, each whole or not there.

What has settled is safe at once: points stand in parts, or in the journal from the manifest's position on,
from where both readers and this sink take them up again. A part is written, synced and renamed before a
manifest names it; a part that was merged is removed after the manifest on the disk stopped naming it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from exptrack_daemon.errors import SinkBroken, SinkUnavailable
from exptrack_daemon.files import Files, OsFiles, replace_durably
from exptrack_daemon.journal.cursor import load_cursor
from exptrack_daemon.journal.position import START, Position
from exptrack_daemon.sinks.base import Batch, RunInfo, SavedState, Settled, SinkContext
from exptrack_daemon.store.columns import Chunk, Points, concat, sort
from exptrack_daemon.store.compaction import Sizes, to_finish, to_merge
from exptrack_daemon.store.live import gathering_at, walk_at
from exptrack_daemon.store.manifest import FOLDER, SINK, Manifest, ManifestNewer
from exptrack_daemon.store.parts import DiskPart, cells_bytes, part_bytes
from exptrack_daemon.store.pieces import PartName, PartUnusable

logger = logging.getLogger(__name__)


class StoreSink:
    """One run's parts."""

    def __init__(
        self, run: RunInfo, context: SinkContext, sizes: Sizes, files: Files, manifest: Manifest
    ) -> None:
        self._run_id = run.run_id
        self._home = context.home
        self._folder = context.folder / FOLDER
        self._sizes = sizes
        self._files = files
        self._manifest = manifest
        """What the parts and the position say once the chunks that wait are written."""
        self._gathering = gathering_at(manifest, sizes.chunk_points)
        self._waiting: deque[Chunk] = deque()
        self._at_start = Manifest()
        self._start: Position | None = None
        self._end: Position | None = None
        self._is_tidy = False

    def resume(self, end: Position) -> None:
        """Gather again what stands in the journal between the parts and `end`."""
        walk = walk_at(self._files, self._home, self._run_id, self._manifest)
        for found, entry in walk.entries():
            if found.start.record >= end.record:
                break
            if entry is not None:
                self._waiting.extend(self._gathering.take(entry))
        # borders up to here are in the manifest already, but for one that a newer size would draw
        self._waiting = deque(chunk for chunk in self._waiting if chunk.points is not None)
        self._start, self._at_start = self._manifest.position, self._manifest

    def write(self, batch: Batch) -> None:
        if self._start != batch.start:  # else it comes again, or the other half of it
            self._start, self._at_start = batch.start, self._snapshot(batch.start)
        self._write_waiting()
        for entry in batch.entries:
            self._waiting.extend(self._gathering.take(entry))
            self._write_waiting()
        self._end = batch.end
        if self._manifest.parts and not len(self._gathering):
            # nothing up to here is to be read again: a finished run has no tail
            parts, chunk_points = self._manifest.parts, self._manifest.chunk_points
            here = self._snapshot(batch.end)
            self._manifest = replace(here, parts=parts, chunk_points=chunk_points)

    def settled(self) -> Settled | None:
        if not self._is_tidy:
            self._tidy()
        if self._end is None:
            return None
        end, self._end = self._end, None
        return Settled(end, {**self._manifest.dump(), "end": list(end)})

    def close(self) -> None:
        """What is not in parts stays in the journal; nothing is open."""

    def _snapshot(self, position: Position) -> Manifest:
        gathering = self._gathering
        streams, closed = tuple(gathering.streams.values()), frozenset(gathering.closed)
        return Manifest((), position, gathering.row, streams, closed)

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self._keep(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            raise SinkUnavailable(
                f"{self._folder} took no part: {error.strerror or error}"
            ) from error

    def _keep(self, chunk: Chunk) -> None:
        """Write a chunk and whatever is to be merged after it; a fault leaves the manifest as it was."""
        parts = list(self._manifest.parts)
        start = self._manifest.points
        if chunk.points is not None:
            name = PartName(start, start + len(chunk.points), 0)
            self._put(name, part_bytes(chunk.points))
            parts.append(name)
        chosen = (to_finish if chunk.is_end else to_merge)(parts, self._sizes)
        if chosen:
            parts[-len(chosen) :] = [self._merge(chosen)]
            self._is_tidy = False
        at = self._at_start
        self._manifest = Manifest(
            *(tuple(parts), at.position, chunk.row, at.streams, at.closed),
            self._sizes.chunk_points,
        )

    def _merge(self, chosen: Sequence[PartName]) -> PartName:
        name = PartName(chosen[0].start, chosen[-1].end, 1)
        held = self._points_of(chosen)
        points = held[0] if len(held) == 1 else sort(concat(held))
        if len(held) > 1:
            self._put(name, part_bytes(points))
        self._put(name, cells_bytes(points, self._sizes.cells_from), is_cells=True)
        return name

    def _points_of(self, chosen: Sequence[PartName]) -> list[Points]:
        try:
            return [DiskPart(self._folder, name).points() for name in chosen]
        except (FileNotFoundError, PartUnusable) as error:
            raise SinkBroken(
                f"{error}; rebuild the store of this run: exptrack replay {self._run_id} --to {SINK}"
            ) from error

    def _put(self, name: PartName, data: bytes, *, is_cells: bool = False) -> None:
        if not self._files.exists(self._folder):
            self._files.make_directory(self._folder)
            self._files.sync_directory(self._folder.parent)  # else a power cut takes the folder
        path = self._folder / (name.cells_file if is_cells else name.file)
        replace_durably(self._files, path, data)

    def _tidy(self) -> None:
        """Remove the files that neither the saved manifest nor this one names."""
        saved = load_cursor(self._files, self._home.cursor(self._run_id, SINK)).state
        named = {file for part in self._manifest.parts for file in part.files}
        if saved is not None:
            named |= {file for part in Manifest.load(saved).parts for file in part.files}
        try:
            self.remove_all_but(named)
        except OSError as error:
            logger.warning("Run %s: parts that were merged stay: %s.", self._run_id, error)
            return
        mine = {file for part in self._manifest.parts for file in part.files}
        self._is_tidy = named == mine

    def remove_all_but(self, named: set[str]) -> None:
        """Remove what else stands in the folder."""
        for file in self._files.names(self._folder):
            if file not in named:
                self._files.remove(self._folder / file)


def open_store(
    run: RunInfo,
    context: SinkContext,
    saved: SavedState | None,
    *,
    sizes: Sizes | None = None,
    files: Files | None = None,
) -> StoreSink:
    """Open a run's parts as they were when `saved` was; see the package."""
    try:
        manifest = Manifest() if saved is None else Manifest.load(saved)
        end = START if saved is None else Position(*saved["end"])
    except ManifestNewer as error:
        raise SinkBroken(f"run {run.run_id}: {error}: update it") from error
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise SinkBroken(
            f"the state of the store of run {run.run_id} cannot be read; rebuild it:"
            f" exptrack replay {run.run_id} --to {SINK}"
        ) from error
    sink = StoreSink(run, context, sizes or Sizes(), files or OsFiles(), manifest)
    try:
        sink.remove_all_but({file for part in manifest.parts for file in part.files})
        sink.resume(end)
    except OSError as error:
        raise SinkUnavailable(f"{context.folder} cannot be used: {error.strerror}") from error
    return sink
