from __future__ import annotations

import os
from pathlib import Path

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.stopping import ask_to_stop, stop_reason

SECOND_NS = 10**9


@pytest.fixture
def asked(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.run("r").mkdir(parents=True)
    ask_to_stop(OsFiles(), home, "r", "diverged")
    os.utime(home.stop_request("r"), ns=(100 * SECOND_NS, 100 * SECOND_NS))
    return home


def test_the_open_attempt_is_asked_and_a_later_one_is_not(asked: Home) -> None:
    assert stop_reason(asked, "r", 99 * SECOND_NS) == "diverged"
    assert stop_reason(asked, "r", 100 * SECOND_NS) == ""
    assert stop_reason(asked, "r", 101 * SECOND_NS) == ""


def test_nobody_asked(tmp_path: Path) -> None:
    assert stop_reason(Home(tmp_path), "r", 0) == ""


@pytest.mark.parametrize(
    ("reason", "told"), [("", "somebody asked for it"), ("ü" * 900, "ü" * 500), ("\ud800", "?")]
)
def test_any_reason_travels(tmp_path: Path, reason: str, told: str) -> None:
    home = Home(tmp_path)
    home.run("r").mkdir(parents=True)
    ask_to_stop(OsFiles(), home, "r", reason)
    assert stop_reason(home, "r", 0) == told


def test_bytes_that_are_no_text_do_not_hurt(asked: Home) -> None:
    asked.stop_request("r").write_bytes(b"\xff" * 9_000)
    assert stop_reason(asked, "r", 0).startswith("\ufffd")
    assert len(stop_reason(asked, "r", 0)) == 500
