"""Where things stand, who may enter, and how any text becomes one folder's name."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.home import Home, folder_name, make_private, make_runtime


@given(st.text(), st.text())
def test_two_texts_never_get_the_same_folder(one, other):
    assert (folder_name(one) == folder_name(other)) == (one == other)


@given(st.text(max_size=400))
def test_a_folder_name_is_one_plain_component(text):
    name = folder_name(text)
    assert name
    assert name.isascii()
    assert "/" not in name
    assert name[0] not in ".-"
    assert len(name) <= 200
    assert unicodedata.normalize("NFD", name) == name


@pytest.mark.parametrize(
    "text", ["..", ".", "", "/etc/passwd", "-rf", "a\0b", "~", "é", "x" * 5000]
)
def test_hostile_names_stay_inside(tmp_path, text):
    inside = (tmp_path / folder_name(text)).resolve()
    assert inside.parent == tmp_path.resolve()


def test_make_private_makes_what_only_we_may_enter_whatever_the_umask(tmp_path):
    for umask in (0, 0o022, 0o077):
        old = os.umask(umask)
        try:
            make_private(tmp_path / f"f{umask}")
        finally:
            os.umask(old)
        assert (tmp_path / f"f{umask}").stat().st_mode & 0o777 == 0o700


def test_make_private_closes_a_folder_of_ours_that_others_could_enter(tmp_path):
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    make_private(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_links_files_and_impossible_places_are_refused_with_a_word(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for name in ("link", "file", "nowhere", "file/below"):
        with pytest.raises(HomeUnusable, match=name):
            make_private(tmp_path / name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(HomeUnusable, match="uid 12345"):
        make_private(tmp_path / "theirs")


def test_sockets_stand_in_the_users_runtime_folder_or_else_under_tmp(home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Home(home).runtime.parent == tmp_path / "exptrack"
    for nowhere in ("", str(tmp_path / "missing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", nowhere)
        assert Home(home).runtime.parent.name == f"exptrack-{os.getuid()}"


def test_the_folder_above_the_sockets_has_to_be_ours_too(home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "exptrack").symlink_to(home)
    with pytest.raises(HomeUnusable, match="link is not followed"):
        make_runtime(Home(home))
    (tmp_path / "exptrack").unlink()
    (tmp_path / "exptrack").mkdir()
    (tmp_path / "exptrack").chmod(0o777)
    assert make_runtime(Home(home)) == Home(home).runtime
    assert (tmp_path / "exptrack").stat().st_mode & 0o077 == 0


def test_two_homes_never_share_a_folder_and_a_long_one_is_short(tmp_path):
    one, other = Home(tmp_path / "a"), Home(Path("/" + "long/" * 200))
    assert one.runtime != other.runtime
    assert len(str(other.runtime / "control.sock")) < 107
    assert set(one.ring_roots).isdisjoint(other.ring_roots)
    inside = [one.lock, one.intake_lock, one.beacon, one.live, one.settings, one.log, one.catalog]
    inside += [one.runs, one.tensorboard, one.quarantine, one.spool, one.asked_sinks]
    assert len(set(inside)) == len(inside)
    assert (
        one.cursor("r", "s").parent == one.dead_letters("r", "s").parent == one.run("r") / "sinks"
    )
