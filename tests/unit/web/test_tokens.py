"""The token: kept in the home, for its owner only."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.web.tokens import FILE, token_of


def test_it_is_drawn_once_and_private_whatever_the_umask(tmp_path):
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        token = token_of(home)
    finally:
        os.umask(before)
    assert len(token) == 43
    assert token_of(home) == token
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert token_of(tmp_path / "other") != token


@pytest.mark.parametrize(
    "spoil", ["readable", "by the group", "short", "empty", "newline", "link", "folder"]
)
def test_one_that_others_could_know_is_not_used(tmp_path, spoil):
    token = token_of(tmp_path)
    path = tmp_path / FILE
    if spoil == "readable":
        path.chmod(0o644)
    elif spoil == "by the group":
        path.chmod(0o640)
    elif spoil == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif spoil == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text({"short": "abc", "empty": "", "newline": token + "\n"}[spoil])
    assert token_of(tmp_path) != token


def test_servers_that_start_together_have_the_same_one(tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(token_of(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_a_home_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable):
        token_of(tmp_path / "file" / "home")
