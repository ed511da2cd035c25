"""The shell around the projection: one run's event files, written by whole batches or not at all.

State saved with the cursor:
    {"version": 1, "folder": "PROJECT/NAME", "sizes": {"": 1234, "late": 56}, "projection": {…}}

A batch is projected in memory, appended to the files, and only then counts. When an item or a file refuses,
files and projection go back to where they were, so that the same batch, or half of it, can come again.
"""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath
from typing import Any

from exptrack_daemon.errors import BatchRejected, HomeUnusable, SinkBroken, SinkUnavailable
from exptrack_daemon.files import Files, OsFiles
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Batch, RunInfo, SavedState, Settled
from exptrack_daemon.sinks.tensorboard.folders import claim_place, file_name, holder
from exptrack_daemon.sinks.tensorboard.lanes import MOST_LATE
from exptrack_daemon.sinks.tensorboard.options import place_of
from exptrack_daemon.sinks.tensorboard.output import Output
from exptrack_daemon.sinks.tensorboard.projection import Projection
from exptrack_daemon.sinks.tensorboard.records import whole_bytes
from exptrack_proto.limits import MIB

_logger = logging.getLogger(__name__)

_STATE_VERSION = 1
_MOST_OPEN = 16
_MOST_UNSYNCED_BYTES = 16 * MIB


class TensorBoardSink:
    """One run's event files."""

    def __init__(self, run: RunInfo, root: Path, folder: Path, files: Files) -> None:
        self._run = run
        self._files = files
        self._folder = folder
        self._folder_name = folder.relative_to(root).as_posix()
        self._file_name = file_name(run)
        self._outputs: dict[str, Output] = {}
        self._projection = Projection(run)
        self._state = self._projection.state()
        """The projection's, after the last batch that was written."""
        self._end: Position | None = None

    def resume(self, saved: SavedState) -> None:
        """Go on from a saved state: cut each file to its size then."""
        state: dict[str, Any] = saved["projection"]
        for folder, size in saved["sizes"].items():
            found = self._resume_file(folder, size)
            if found:
                self._outputs[folder] = Output(self._files, self._path(folder), found)
            else:
                _forget_file(state, folder)
        self._state = state
        self._projection = Projection(self._run, state)

    def _resume_file(self, folder: str, size: int) -> int:
        path = self._path(folder)
        found = self._files.size(path) if self._files.exists(path) else 0
        if found >= size:
            _cut(self._files, path, size)
            return size
        # Somebody took bytes away. What is left must end with a whole record, or no reader gets past it.
        sound = whole_bytes(self._files.read(path)) if found else 0
        _logger.warning(
            "%s holds %d of the %d bytes written; going on after %d. "
            "Rebuild it with: exptrack replay %s --to tensorboard",
            path, found, size, sound, self._run.run_id,
        )  # fmt: skip
        if found:
            _cut(self._files, path, sound)
        return sound

    def cut_others(self) -> None:
        """Empty what this run wrote in folders that it does not know (any more).

        Files are emptied, never removed: a TensorBoard that has one open then sees it written again.
        """
        known = {self._path(folder) for folder in self._outputs}
        for path in sorted(self._folder.rglob(self._file_name)):
            if path not in known and path.is_file() and not path.is_symlink():
                _cut(self._files, path, 0)

    def write(self, batch: Batch) -> None:
        try:
            pages = self._projection.take(batch.entries)
        except BatchRejected:
            self._projection = Projection(self._run, self._state)
            raise
        self._append(pages, batch)
        self._state = self._projection.state()
        self._end = batch.end

    def _append(self, pages: dict[str, bytes], batch: Batch) -> None:
        sizes = {folder: output.size for folder, output in self._outputs.items()}
        try:
            for folder, records in pages.items():
                self._output(folder).append(records)
                self._limit_unsynced(folder)
        except OSError as error:
            for folder in pages:
                if folder in self._outputs:
                    self._outputs[folder].cut(sizes.get(folder, 0))
            self._projection = Projection(self._run, self._state)
            raise SinkUnavailable(
                f"{self._folder} took none of {len(batch.entries)} entries: {error.strerror}"
            ) from error

    def _limit_unsynced(self, folder: str) -> None:
        output = self._outputs[folder]
        open_outputs = sum(other.is_open for other in self._outputs.values())
        if output.unsynced_bytes > _MOST_UNSYNCED_BYTES or open_outputs > _MOST_OPEN:
            output.sync()

    def _output(self, folder: str) -> Output:
        if folder not in self._outputs:
            self._make_folder(folder)
            self._tell_of_late(folder)
            self._outputs[folder] = Output(self._files, self._path(folder), 0)
        return self._outputs[folder]

    def _tell_of_late(self, folder: str) -> None:
        name = PurePosixPath(folder).name
        if name == "late":
            _logger.warning(
                "Run %s: steps of a metric went back or came twice; such points are shown as %s/%s.",
                self._run.run_id, self._folder_name, folder,
            )  # fmt: skip
        elif name == f"late_{MOST_LATE}":
            _logger.warning(
                "Run %s: steps went back too often; TensorBoard may hide some points of %s/%s.",
                self._run.run_id, self._folder_name, folder,
            )  # fmt: skip

    def _make_folder(self, folder: str) -> None:
        path = self._folder
        for part in PurePosixPath(folder).parts:
            parent, path = path, path / part
            self._files.make_directory(path)
            self._files.sync_directory(parent)

    def _path(self, folder: str) -> Path:
        return self._folder / folder / self._file_name

    def settled(self) -> Settled | None:
        if self._end is None:
            return None
        try:
            for output in self._outputs.values():
                output.sync()
        except OSError as error:
            raise SinkUnavailable(f"{self._folder} cannot be synced: {error.strerror}") from error
        end, self._end = self._end, None
        sizes = {folder: output.size for folder, output in self._outputs.items()}
        return Settled(
            end,
            {
                "version": _STATE_VERSION,
                "folder": self._folder_name,
                "sizes": sizes,
                "projection": self._state,
            },
        )

    def close(self) -> None:
        for output in self._outputs.values():
            output.close()


def open_files(
    run: RunInfo, root: Path, saved: SavedState | None, files: Files | None = None
) -> TensorBoardSink:
    """Open a run's files below `root`, as they were when `saved` was."""
    if saved is not None and saved["version"] > _STATE_VERSION:
        raise SinkBroken(
            f"the TensorBoard state of run {run.run_id} was saved by a newer exptrack: update it"
        )
    try:
        folder = _find_folder(run, root, saved)
        base = place_of(run).directory or root
        sink = TensorBoardSink(run, base, folder, files or OsFiles())
        if saved is not None:
            sink.resume(saved)
        sink.cut_others()
    except OSError as error:
        raise SinkUnavailable(f"{root} cannot be used: {error.strerror or error}") from error
    except HomeUnusable as error:
        raise SinkUnavailable(str(error)) from error
    return sink


def _find_folder(run: RunInfo, root: Path, saved: SavedState | None) -> Path:
    place = place_of(run)
    base = place.directory or root
    if saved is not None and holder(base / saved["folder"]) == run.run_id:
        return base / str(saved["folder"])
    # New, or removed by somebody since: then another run may have got the name meanwhile.
    return claim_place(root, run, place)


def _cut(files: Files, path: Path, size: int) -> None:
    if not files.exists(path) or files.size(path) == size:
        return
    file = files.open_append(path)
    try:
        file.truncate(size)
    finally:
        file.close()


def _forget_file(state: dict[str, Any], folder: str) -> None:
    """Have the version record written again to a file that is gone."""
    for writer in state["writers"].values():
        for lane in writer["lanes"]:
            if lane["folder"] == folder:
                lane["begun"] = False
