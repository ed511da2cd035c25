"""What a sink refused for good is kept, once, readable, and not without bound."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from exptrack_daemon.delivery import dead_letters
from exptrack_daemon.delivery.dead_letters import forget, set_aside
from exptrack_daemon.files import OsFiles
from tests.unit.daemon.test_delivery_bisect import batch_of


def single(size, at):
    batch = batch_of([size])
    (entry,) = batch.entries
    changed = replace(entry, first=at) if size else replace(entry, sequence=at)
    return replace(batch, entries=(changed,))


def test_a_row_and_an_event_are_kept_with_reason_and_place(tmp_path):
    for size, body in ((1, list), (0, dict)):
        path = set_aside(OsFiles(), tmp_path / f"dead{size}", single(size, 7), "too long")
        letter = msgspec.msgpack.decode(path.read_bytes())
        assert (letter["reason"], letter["run"], letter["sequence"]) == ("too long", "r", 7)
        assert isinstance(letter["body"], body)
        assert path.stat().st_mode & 0o077 == 0


def test_the_same_entry_gives_the_same_file(tmp_path):
    for _ in range(3):
        set_aside(OsFiles(), tmp_path, single(1, 7), "no")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_folder_takes_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_letters, "MOST_KEPT", 3)
    paths = [set_aside(OsFiles(), tmp_path, single(1, at), "no") for at in range(5)]
    assert len(list(tmp_path.iterdir())) == 3
    assert paths[-1] == tmp_path


def test_forgetting_empties_the_folder_and_a_missing_one_is_fine(tmp_path):
    set_aside(OsFiles(), tmp_path / "dead", single(1, 1), "no")
    forget(OsFiles(), tmp_path / "dead")
    forget(OsFiles(), tmp_path / "none")
    assert list((tmp_path / "dead").iterdir()) == []
