"""`exptrack rerun`: what was recorded becomes a plan, and the plan the same state again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.rerun import FORMAT, TYPE
from exptrack_proto.records import Artifact
from tests.support.homes import HomeBuilder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit whose script prints 1; in the working tree it prints 3."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "train.py").write_text("import sys\nprint('VALUE', 1, *sys.argv[1:])\nsys.exit(7)\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def document(repository: Path, **changes: Any) -> dict[str, Any]:
    """What the tracker records, of a run with the value 2 in its uncommitted changes."""
    script = repository / "train.py"
    script.write_text(script.read_text().replace(" 1,", " 2,"))
    diff = git(repository, "diff", "HEAD")
    script.write_text(script.read_text().replace(" 2,", " 3,"))
    state = {
        "format": FORMAT,
        "command": {
            "executable": sys.executable,
            "arguments": [str(script), "--lr", "3"],
            "is_whole": True,
            "folder": str(repository),
        },
        "environment": {"OMP_NUM_THREADS": "2", "RANK": "1", "SLURM_JOB_ID": "5"},
        "git": {
            "root": str(repository),
            "commit": git(repository, "rev-parse", "HEAD").strip(),
            "is_dirty": True,
            "diff": diff,
            "diff_is_whole": True,
        },
    }
    return {**state, **changes}


def record(home: Path, state: dict[str, Any] | None) -> None:
    run = HomeBuilder(home).run("r1")
    stream = run.stream()
    if state is not None:
        text = json.dumps(state)
        stream.put(Artifact(time_ns=1, step=0, name="reproduction", type=TYPE, path="",
                            size_bytes=len(text), metadata=text))  # fmt: skip
    stream.close()
    run.close()


def rerun(home: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["rerun", "r1", *arguments, "--home", str(home)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_it_is_shown_and_nothing_is_done(home: Path, repository: Path, tmp_path: Path):
    record(home, document(repository))
    shown = rerun(home, "--into", str(tmp_path / "again")).stdout
    assert f"worktree add --detach {tmp_path}/again" in shown
    assert "exptrack rerun r1 --diff | git" in shown
    assert f"{sys.executable} {tmp_path}/again/train.py --lr 3" in shown
    assert "OMP_NUM_THREADS=2" in shown
    assert "RANK" not in shown
    assert not (tmp_path / "again").exists()


def test_it_runs_in_the_state_of_then(home: Path, repository: Path, tmp_path: Path, capfd):
    record(home, document(repository))
    rerun(home, "--yes", "--into", str(tmp_path / "again"), code=7)
    assert "VALUE 2 --lr 3" in capfd.readouterr().out
    assert " 3," in (repository / "train.py").read_text()


def test_here_takes_the_source_as_it_is(home: Path, repository: Path, capfd):
    record(home, document(repository))
    rerun(home, "--yes", "--here", code=7)
    assert "VALUE 3" in capfd.readouterr().out


def test_the_shown_script_does_what_yes_does(home: Path, repository: Path, tmp_path: Path):
    record(home, document(repository))
    shown = rerun(home, "--into", str(tmp_path / "again")).stdout
    script = shown.replace(
        "exptrack rerun r1", f"{sys.executable} -m exptrack_daemon rerun r1 --home {home}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "VALUE 2 --lr 3" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": {"arguments": ["x"], "is_whole": False, "folder": "/"}}, "secrets"),
        ({"git": {"root": "/nowhere", "commit": "a" * 40}}, "/nowhere is not here"),
        (
            {"git": {"root": "/", "commit": "a", "is_dirty": True, "diff_is_whole": False}},
            "too large",
        ),
    ],
)
def test_what_is_missing_stops_it_and_is_named(
    home: Path, repository: Path, changes: dict[str, Any], words: str
):
    record(home, document(repository, **changes))
    assert words in rerun(home, "--yes", code=1).output
    assert words in rerun(home).stdout


def test_what_may_differ_is_said(home: Path, repository: Path):
    record(home, document(repository, machine={"host": "elsewhere"}, packages={"msgpack": "0.0.1"},
                          python={"version": "2.7"}))  # fmt: skip
    shown = rerun(home).stdout
    assert "it ran on elsewhere" in shown
    assert "msgpack" in shown
    assert "Python 2.7" in shown


def test_json_is_the_plan(home: Path, repository: Path):
    record(home, document(repository))
    plan = json.loads(rerun(home, "--json").stdout)
    assert plan["command"][0] == sys.executable
    assert plan["diff"].startswith("diff --git")


def test_without_git_it_runs_where_it_ran(home: Path, repository: Path, capfd):
    record(home, document(repository, git={}))
    rerun(home, "--yes", code=7)
    assert "VALUE 3" in capfd.readouterr().out


@pytest.mark.parametrize("state", [None, {"format": 1}, {"format": 1, "command": 3}])
def test_a_run_without_a_state_is_told_so(home: Path, state: dict[str, Any] | None):
    record(home, state)
    assert "recorded no" in rerun(home, code=3).output


def test_a_newer_state_is_refused(home: Path):
    record(home, {"format": FORMAT + 1})
    assert "newer exptrack" in rerun(home, code=2).output


def test_a_commit_that_is_gone_is_one_clear_message(home: Path, repository: Path, tmp_path: Path):
    state = document(repository)
    state["git"]["commit"] = "0" * 40
    record(home, state)
    assert "worktree add" in rerun(home, "--yes", "--into", str(tmp_path / "x"), code=2).output
