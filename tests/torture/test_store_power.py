"""The store's sink where the power is cut within any call: what a saved manifest names is whole."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

import pytest

from exptrack_daemon.home import Home
from exptrack_daemon.journal.cursor import load_cursor
from exptrack_daemon.sinks.store import sink
from exptrack_daemon.store.compaction import Sizes
from exptrack_daemon.store.manifest import FOLDER, Manifest
from exptrack_daemon.store.parts import DiskPart
from exptrack_daemon.store.pieces import PartName
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.journals import RUN, close_frame, commit, open_frame, open_journal, rows_frame
from tests.support.memory_files import (
    RUNS,
    BytesOnly,
    Least,
    Luck,
    MemoryFiles,
    Most,
    NamesOnly,
    Stopped,
)
from tests.support.stores import store_lane

HOME = RUNS.parent
FRAMES = 24
SIZES = Sizes(chunk_points=26, merge_parts=2, merged_points=200, cells_from=4)
"""So large that a cursor is saved before there is a part."""


class Shelf:
    """Opens parts of a file system in memory: pyarrow reads real files only."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.files = MemoryFiles()

    def open(self, folder: Path, name: PartName) -> DiskPart:
        for file in name.files:
            if self.files.exists(folder / file):
                (self._scratch / file).write_bytes(self.files.read(folder / file))
        return DiskPart(self._scratch, name)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Where the sink, too, finds the parts that it merges."""
    found = Shelf(tmp_path)
    monkeypatch.setattr(sink, "DiskPart", found.open)
    return found


def with_journal() -> MemoryFiles:
    files = MemoryFiles()
    journal = open_journal(files)
    commit(journal, open_frame())
    for number in range(FRAMES):
        commit(journal, rows_frame(1 + 2 * number, 2))
    commit(journal, close_frame(1 + 2 * FRAMES))
    journal.close()
    return files.crash(Most())  # all of the journal is durable


def deliver(files: MemoryFiles, shelf: Shelf) -> None:
    shelf.files = files
    clock = FakeClock()
    drive(store_lane(HOME, RUN, clock, sizes=SIZES, files=files, batch_bytes=150), clock, 60.0)


def parts_of(files: MemoryFiles) -> dict[str, bytes]:
    """What the manifest names; every part is there and whole."""
    state = load_cursor(files, Home(HOME).cursor(RUN, "store")).state
    names = Manifest.load(state).parts if state else ()
    folder = Home(HOME).run(RUN) / FOLDER
    return {file: files.read(folder / file) for name in names for file in name.files}


@pytest.mark.timeout(240)  # computing, not waiting
@pytest.mark.parametrize("luck", [Least(), BytesOnly(), NamesOnly(), Random(3)])
def test_what_a_manifest_names_outlives_the_power(shelf: Shelf, luck: Luck) -> None:
    plain = with_journal()
    deliver(plain, shelf)
    expected, calls = parts_of(plain), len(plain.log)
    assert {name.split(".")[1] for name in expected} == {"parquet", "cells"}
    pieces = set()
    for call in range(1, calls, 7):
        files = with_journal()
        files.stop_before(call, 0.5)
        with contextlib.suppress(Stopped):
            deliver(files, shelf)
        after = files.crash(luck)
        pieces.add(len(parts_of(after)))
        deliver(after, shelf)
        assert parts_of(after) == expected, call
    assert len(pieces) > 2
