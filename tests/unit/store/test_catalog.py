"""The catalogue's file: private, versioned, refused when newer, set aside when damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from exptrack_daemon.home import Home
from exptrack_daemon.store.catalog import (
    SCHEMA_VERSION,
    CatalogDamaged,
    CatalogNewer,
    consult,
    is_passing,
    open_reading,
    open_writing,
    set_aside,
)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def make(home):
    connection, is_new = open_writing(home)
    connection.close()
    return is_new


def test_it_is_made_once_private_and_in_wal_mode(home):
    assert make(home)
    assert not make(home)
    assert home.catalog.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(home.catalog)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_reader_finds_nothing_where_there_is_nothing_and_makes_nothing(home):
    assert open_reading(home) is None
    assert not home.catalog.exists()
    home.catalog.write_bytes(b"")
    assert open_reading(home) is None


def test_a_newer_one_is_refused_untouched(home):
    make(home)
    with closing(sqlite3.connect(home.catalog)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = home.catalog.read_bytes()
    for attempt in (open_reading, open_writing):
        with pytest.raises(CatalogNewer, match="install a newer exptrack"):
            attempt(home)
    assert home.catalog.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000]
)
def test_what_is_no_catalogue_is_called_damaged(home, content):
    home.catalog.write_bytes(content)
    for attempt in (open_reading, open_writing):
        with pytest.raises(CatalogDamaged):
            attempt(home)


def test_a_file_with_our_version_and_other_tables_is_called_damaged(home):
    with closing(sqlite3.connect(home.catalog)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    with pytest.raises(CatalogDamaged):
        open_writing(home)


def test_setting_aside_keeps_every_byte(home):
    home.catalog.write_bytes(b"rubbish")
    kept = set_aside(home, 7)
    assert kept.read_bytes() == b"rubbish"
    assert not home.catalog.exists()
    assert make(home)


def test_readers_are_not_kept_waiting_by_a_writer(home):
    writer, _ = open_writing(home)
    with closing(writer):
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM runs")
        assert consult(home, lambda c: c.execute("SELECT count(*) FROM runs").fetchone()) == (0,)


def test_a_home_that_cannot_be_written_can_be_read(home):
    make(home)
    home.path.chmod(0o500)
    try:
        assert consult(home, lambda c: c.execute("SELECT count(*) FROM runs").fetchone()) == (0,)
    finally:
        home.path.chmod(0o700)


def test_a_lock_and_a_full_disk_pass_and_a_missing_table_does_not(home):
    make(home)
    with closing(sqlite3.connect(home.catalog, timeout=0)) as one:
        one.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(home.catalog, timeout=0)) as two:
            with pytest.raises(sqlite3.OperationalError) as locked:
                two.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError) as missing:
                two.execute("SELECT * FROM nothing")
    assert is_passing(locked.value)
    assert not is_passing(missing.value)
