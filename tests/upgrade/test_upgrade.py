"""Homes of earlier versions open and say what they said then; files of a later one are refused, untouched."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.intake.recovery import find_remains, recover
from exptrack_daemon.journal.cursor import CURSOR_VERSION, load_cursor, save_cursor
from exptrack_daemon.journal.reader import JournalReader
from exptrack_daemon.journal.segment import fragment, salt_of
from exptrack_daemon.store.catalog import open_writing
from exptrack_proto.ring import CELL_CHECK, CELL_TABLE, CELL_VERSION, cells_of, header_check
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.desks import make_desk, opened
from tests.support.stores import store_lane
from tests.upgrade.make import HOMES, RUN, make_home
from tests.upgrade.telling import told_by

VERSIONS = sorted(path.name for path in HOMES.iterdir())
NEWEST = max(name for name in VERSIONS if "-" not in name)


def copied(version: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(HOMES / version / "home", tmp_path / "home"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_of_an_earlier_version_is_read_as_it_was_then(version, tmp_path):
    told = json.loads((HOMES / version / "told.json").read_text())
    assert json.loads(json.dumps(told_by(copied(version, tmp_path)))) == told


@pytest.mark.parametrize("version", VERSIONS)
def test_runs_of_an_earlier_version_go_on(version, tmp_path):
    home = copied(version, tmp_path)
    told_by(home)
    before = {path: path.read_bytes() for path in home.rglob("*.seg")}
    for run in Home(home).runs.iterdir():
        clock = FakeClock()
        drive(store_lane(home, run.name, clock), clock, 10.0)
        cursor = load_cursor(OsFiles(), Home(home).cursor(run.name, "store"))
        assert (cursor.status, cursor.rows > 0) == ("live", True)
    assert {path: path.read_bytes() for path in home.rglob("*.seg")} == before


def test_what_is_made_today_says_the_same_of_its_journal(tmp_path):
    """The maker is run by hand and seldom: this keeps it in order."""
    make_home(tmp_path / "home")
    told = told_by(tmp_path / "home")
    assert [run["problems"] for run in told["runs"].values()] == [[], [], []]
    newest = json.loads((HOMES / NEWEST / "told.json").read_text())
    assert told["runs"][RUN]["entries"] == newest["runs"][RUN]["entries"]


# --- newer ones -----------------------------------------------------------------------------------


def newer_journal(home: Path) -> str:
    path = Home(home).journal(RUN) / "00000001.seg"
    path.write_bytes(fragment(b"H\x63\x90", 0, salt_of(RUN, 1)) + path.read_bytes()[64:])
    with pytest.raises(JournalNewer) as refused:
        JournalReader(OsFiles(), Home(home).journal(RUN), RUN).read()
    with pytest.raises(JournalNewer, match="nothing was changed"):
        make_desk(home).journal(RUN)
    return str(refused.value)


def newer_cursor(home: Path) -> str:
    path = Home(home).cursor(RUN, "store")
    cursor = load_cursor(OsFiles(), path)
    cursor.version = CURSOR_VERSION + 1
    save_cursor(OsFiles(), path, cursor)
    return step_store(home, path.read_bytes())


def newer_manifest(home: Path) -> str:
    path = Home(home).cursor(RUN, "store")
    cursor = load_cursor(OsFiles(), path)
    assert cursor.state is not None
    cursor.state["version"] += 1
    save_cursor(OsFiles(), path, cursor)
    return step_store(home, None)


def step_store(home: Path, cursor: bytes | None) -> str:
    """The store's worker looks at the run, which has news; returns why it stopped."""
    parts = {path: path.read_bytes() for path in (Home(home).run(RUN) / "series").iterdir()}
    desk, clock = make_desk(home), FakeClock()
    desk.take(opened(RUN, b"one-that-is-new!"))
    desk.close()
    lane = store_lane(home, RUN, clock)
    drive(lane, clock, 2.0)
    lane.close()
    assert lane.cursor.status == "broken"
    assert {path: path.read_bytes() for path in parts} == parts
    if cursor is not None:
        assert Home(home).cursor(RUN, "store").read_bytes() == cursor
    return lane.cursor.reason


def newer_catalogue(home: Path) -> str:
    with sqlite3.connect(Home(home).catalog) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = Home(home).catalog.read_bytes()
    with pytest.raises(Exception, match="newest known") as refused:
        open_writing(Home(home))
    assert Home(home).catalog.read_bytes() == before
    return str(refused.value)


def newer_box(home: Path) -> str:
    for path in home.rglob("*.seg"):
        if path.parent.parent.name in ("rings", "spool"):
            data = bytearray(path.read_bytes())
            for offset in (cells_of(memoryview(data))[CELL_TABLE], 0):
                cells_of(memoryview(data), offset)[CELL_VERSION] = 99
                check = header_check(memoryview(data)[offset:])
                cells_of(memoryview(data), offset)[CELL_CHECK] = check
            path.write_bytes(data)
    before = {path: path.read_bytes() for path in home.rglob("*.seg")}
    (remains,) = find_remains(Home(home))
    desk = make_desk(home)
    assert not list(recover(desk, remains, lambda: True))[-1].is_done
    assert {path: path.read_bytes() for path in before} == before
    return "newest known"


@pytest.mark.parametrize(
    "refuse", [newer_journal, newer_cursor, newer_manifest, newer_catalogue, newer_box]
)
def test_what_a_newer_version_wrote_is_refused_untouched(
    refuse: Callable[[Path], str], tmp_path: Path
) -> None:
    sentence = refuse(copied(NEWEST, tmp_path))
    assert "newer exptrack" in sentence or "newest known" in sentence
    assert "\n" not in sentence
