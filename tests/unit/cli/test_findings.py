"""What doctor sees, and what it says to do."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app, findings
from exptrack_daemon.cli.findings import (
    BAD,
    OK,
    WARN,
    Finding,
    daemon_finding,
    examine,
    file_system_of,
    home_finding,
    room_finding,
    sink_finding,
)
from exptrack_daemon.home import Home

MOUNTS = """\
overlay / overlay rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/fast\\040disk tmpfs rw 0 0
odd
"""


def test_the_innermost_mount_says_what_file_system_it_is():
    assert file_system_of(Path("/var"), MOUNTS) == "overlay"
    assert file_system_of(Path("/home/me/x"), MOUNTS) == "nfs4"
    assert file_system_of(Path("/home/me/fast disk/x"), MOUNTS) == "tmpfs"
    assert file_system_of(Path("/homeless"), MOUNTS) == "overlay"
    assert file_system_of(Path("/x"), "") == ""


def test_a_network_file_system_is_warned_of():
    finding = findings._file_system(Path("/home/me"), MOUNTS)
    assert finding.level == WARN
    assert "local disk" in finding.mend


@pytest.mark.parametrize(("free", "level"), [(10, BAD), (60, WARN), (1_000, OK)])
def test_room_on_a_disk(free, level):
    assert room_finding("disk", Path("/x"), free, warn_below=100, bad_below=50).level == level


def test_the_home_must_be_ours_and_should_be_private(tmp_path):
    folder = stat.S_IFDIR
    assert home_finding(tmp_path, folder | 0o700, os.getuid()).level == OK
    assert "chmod 700" in home_finding(tmp_path, folder | 0o755, os.getuid()).mend
    assert "belongs to uid" in home_finding(tmp_path, folder | 0o700, os.getuid() + 1).text
    assert "no folder" in home_finding(tmp_path, stat.S_IFREG | 0o600, os.getuid()).text


def missing():
    raise ImportError("No module named 'wandb'")


def test_a_sink_that_cannot_be_used_is_bad_only_when_it_is_wanted():
    assert sink_finding("x", lambda: None, wanted=True).level == OK
    assert sink_finding("x", missing, wanted=False) == (
        *(
            "sink x",
            WARN,
            "cannot be imported: No module named 'wandb'",
            "pip install 'exptrack[x]'",
        ),
    )
    assert sink_finding("x", missing, wanted=True).level == BAD
    assert "nobody provides it" in sink_finding("x", None, wanted=True).text


def test_a_daemon_with_a_sink_in_trouble_is_named():
    state = {"pid": 1, "sinks": [{"name": "wandb", "state": "broken", "reason": "no login"}]}
    assert daemon_finding(state)[1:3] == (WARN, "running, but behind: wandb (no login)")
    assert daemon_finding({"pid": 1}).level == OK
    assert daemon_finding({"responding": False}).level == BAD


def test_looking_at_a_home_that_is_not_there_makes_nothing(tmp_path):
    found = {finding.what: finding for finding in examine(Home(tmp_path / "none"))}
    assert found["home"].level == OK
    assert {"installation", "disk", "sockets", "settings", "daemon", "gpu"} <= set(found)
    assert not (tmp_path / "none").exists()


def test_wrong_settings_are_bad(tmp_path):
    (tmp_path / "daemon.toml").write_text("colour = 'red'\n")
    found = {finding.what: finding for finding in examine(Home(tmp_path))}
    assert found["settings"].level == BAD
    assert "colour" in found["settings"].text


def invoke(monkeypatch, given, *arguments):
    monkeypatch.setattr("exptrack_daemon.cli.doctor.examine", lambda home: iter(given))
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_doctor_fails_only_when_something_is_bad(monkeypatch):
    fine = [Finding("a", OK, "good"), Finding("b", WARN, "so so", "try c")]
    result = invoke(monkeypatch, fine)
    assert result.exit_code == 0
    assert "→ try c" in result.output
    result = invoke(monkeypatch, [*fine, Finding("d", BAD, "gone\x1b[31m", "bring it back")])
    assert result.exit_code == 1
    assert "1 thing to mend" in result.output
    assert "\x1b" not in result.output
    result = invoke(monkeypatch, [Finding("a", OK, "good")], "--json")
    assert json.loads(result.output) == [{"what": "a", "level": "ok", "text": "good", "mend": ""}]
