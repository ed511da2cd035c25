"""The state of a real repository: commit, changes, remote; in bounded time and size, and quiet elsewhere."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from exptrack_agent.tracker import git
from exptrack_agent.tracker.git import source_state


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text("x = 1\n")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "one")
    return folder


def test_a_clean_repository(repository: Path):
    _git(repository, "remote", "add", "origin", "https://user:pw@example.com/a.git")
    state = source_state(repository / "src", 20)
    assert state["commit"] == _git(repository, "rev-parse", "HEAD")
    assert (state["branch"], state["is_dirty"], state["changed"]) == ("main", False, [])
    assert (state["root"], state["folder"]) == (str(repository.resolve()), "src")
    assert state["remote"] == "https://example.com/a.git"
    assert "problems" not in state
    assert "diff" not in state


def test_uncommitted_changes_can_be_applied_again(repository: Path, tmp_path: Path):
    for key, value in (("diff.noprefix", "true"), ("diff.context", "0"), ("color.ui", "always")):
        _git(repository, "config", key, value)
    (repository / "src" / "train.py").write_text("x = 2  # ü\n")
    (repository / "bytes.bin").write_bytes(bytes(range(256)))
    _git(repository, "add", "bytes.bin")
    (repository / "new.txt").write_text("")
    state = source_state(repository / "src", 20)
    assert state["is_dirty"]
    assert state["diff_is_whole"]
    assert state["untracked"] == ["new.txt"]
    assert sorted(state["changed"]) == ["bytes.bin", "src/train.py"]
    _git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "again"), state["commit"])
    apply = ["git", "-C", str(tmp_path / "again"), "apply", "-"]
    subprocess.run(apply, input=state["diff"].encode(), check=True)
    assert (tmp_path / "again" / "src" / "train.py").read_text() == "x = 2  # ü\n"
    assert (tmp_path / "again" / "bytes.bin").read_bytes() == bytes(range(256))


def test_a_large_diff_is_cut_and_says_so(repository: Path):
    (repository / "src" / "train.py").write_text("y" * (2 * git.MOST_DIFF_BYTES))
    state = source_state(repository, 20)
    assert not state["diff_is_whole"]
    assert len(state["diff"].encode()) <= git.MOST_DIFF_BYTES


def test_no_repository_and_no_commit_are_no_faults(tmp_path: Path):
    assert source_state(tmp_path, 20) == {}
    _git(tmp_path, "init", "-q")
    state = source_state(tmp_path, 20)
    assert "commit" not in state
    assert state["problems"]


def test_no_git_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_state(tmp_path, 20) == {}


def test_a_git_that_hangs_costs_the_time_allowed_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake = tmp_path / "git"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *rev-parse*) echo /r; echo s;; *) exec sleep 60;; esac\n'
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    began = time.monotonic()
    state = source_state(tmp_path, 1.0)
    assert time.monotonic() - began < 10
    assert any("in time" in problem or "time was up" in problem for problem in state["problems"])


def test_a_program_that_the_repository_names_is_not_run(repository: Path):
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    for key in ("core.fsmonitor", "diff.evil.textconv", "diff.external", "diff.evil.command"):
        _git(repository, "config", key, f"touch {repository}/{key}.ran; cat")
    (repository / "src" / "train.py").write_text("x = 3\n")
    assert source_state(repository, 20)["is_dirty"]
    assert not list(repository.glob("*.ran"))
