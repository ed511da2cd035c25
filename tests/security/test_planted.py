"""What was planted where the agent will write is refused in one message, and training goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import exptrack_agent as xt
from exptrack_agent import start
from tests.unit.agent.boxes import stored

SOMEBODY = 65_534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /dev/shm; the rings of this user's homes go to `shared / "own" / "home"`."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(start, "ring_root", lambda _: folder / "own" / "home")
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """Where a link leads; it is as it was afterwards."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "owner.lock").write_text("dear")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["owner.lock"]
    assert (folder / "owner.lock").read_text() == "dear"


def trained(home: Path) -> xt.Run:
    """A run that logs, and is left open."""
    run = xt.init("planted", home=home, mode="offline")
    for step in range(100):
        run.log({"loss": 1.0}, step=step)
    assert run.stats()["dropped"] == 0
    return run


def link(place: Path, victim: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.symlink_to(victim)


def somebodys(place: Path, _: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.mkdir(mode=0o700)
    os.chown(place, SOMEBODY, SOMEBODY)


def open_to_all(place: Path, _: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.mkdir()
    place.chmod(0o777)


def plain_file(place: Path, _: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.touch()


PLANTS = [link, pytest.param(somebodys, marks=as_root), open_to_all, plain_file]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("place", ["own", "own/home"])
def test_shared_memory_that_is_not_ours_is_left_alone(home, shared, victim, caplog, place, plant):
    plant(shared / place, victim)
    run = trained(home)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "shared memory (/dev/shm) cannot be used" in said[0]
    ring = run._box._places.ring
    assert ring.parent == home / "rings"
    assert len(stored(ring)) == 101
    run.finish(timeout_s=0)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_spool_that_is_not_ours_is_left_alone(home, victim, caplog, plant):
    plant(home / "spool", victim)
    run = trained(home)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "cannot be written" in said[0]
    assert run._box._places.spool is None
    assert len(stored(run._box._places.ring)) == 101
    run.finish(timeout_s=0)


@pytest.mark.parametrize("name", [".{}.new", "{}"])
def test_a_link_planted_where_the_stream_itself_will_stand_leads_nowhere(
    home, shared, victim, caplog, monkeypatch, name
):
    """The name is 128 random bits; here they are known."""
    monkeypatch.setattr(os, "urandom", lambda count: b"\7" * count)
    stream = name.format("07" * 16)
    for folder in (shared / "own" / "home", home / "spool"):
        folder.mkdir(mode=0o700, parents=True)
        folder.parent.chmod(0o700)
        (folder / stream).symlink_to(victim)
    run = trained(home)
    assert len(caplog.records) == 2  # one for each place
    run.finish(timeout_s=0)


def test_a_link_planted_where_a_copy_will_stand_leads_nowhere(home, shared, victim, tmp_path):
    run = trained(home)
    spool = run._box._places.spool
    for number in range(8):
        (spool / f".{number:08d}.seg.new").symlink_to(victim / "owner.lock")
        (spool / f"{number:08d}.seg").symlink_to(victim / "owner.lock")
    run.finish(timeout_s=0)
