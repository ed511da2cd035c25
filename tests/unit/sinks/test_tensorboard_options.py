"""What a run asks of its TensorBoard files: names and a place; readers find it, bytes stay pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_daemon.sinks.tensorboard.folders import ELSEWHERE, find_folder
from exptrack_daemon.sinks.tensorboard.options import Place, place_of
from exptrack_daemon.sinks.tensorboard.readback import count_points
from tests.support.tensorboard_journal import Journal, contents, context, deliver, run_info

NAMES = {"train/loss": "Loss/Train", "epoch/*": "Epoch/*"}
ROWS = [(step, {"train/loss": 1.0 / (step + 1), "epoch/acc": 0.5, "other": 1}) for step in range(5)]


def journal(**options: Any) -> Journal:
    run = run_info(sink_options={"tensorboard": options})
    return Journal(run).open().rows(ROWS).close()


def project(home: Path, made: Journal, *, parts: int = 1) -> Path:
    """Write the journal, in so many lives of the sink; where readers find it."""
    size = -(-len(made.entries) // parts)
    saved = None
    for at in range(0, len(made.entries), size):
        sink = open_sink(made.run, context(home), saved)
        saved = deliver(sink, made.run, made.entries[at : at + size]).state
        sink.close()
    folder = find_folder(home / "tensorboard", run_info())  # readers may not know the options
    assert folder is not None
    return folder


def test_metrics_have_the_names_that_the_run_wants(home: Path):
    assert count_points(project(home, journal(names=NAMES))) == {
        "Loss/Train": 5,
        "Epoch/acc": 5,
        "other": 5,
    }


def test_a_folder_in_a_directory_of_ones_own(home: Path, tmp_path: Path):
    made = journal(names=NAMES, directory=str(tmp_path / "tb"), folder="exp_20260102_030405")
    folder = project(home, made, parts=3)
    assert folder == tmp_path / "tb" / "exp_20260102_030405"
    assert count_points(folder)["Loss/Train"] == 5
    (usual,) = (home / "tensorboard" / "mnist").iterdir()
    assert not contents(usual)
    assert (usual / ELSEWHERE).read_text() == str(folder)


def test_a_directory_alone_keeps_project_and_name(home: Path, tmp_path: Path):
    folder = project(home, journal(directory=str(tmp_path / "tb")))
    assert folder == tmp_path / "tb" / "mnist" / "first~20try"


def test_a_folder_alone_stands_in_the_project(home: Path):
    assert project(home, journal(folder="mine")) == home / "tensorboard" / "mnist" / "mine"


def test_two_runs_that_ask_for_one_folder_get_two(home: Path, tmp_path: Path):
    options = {"directory": str(tmp_path / "tb"), "folder": "same"}
    folders = []
    for run_id in ("r1", "r2"):
        run = run_info(run_id=run_id, name=run_id, sink_options={"tensorboard": options})
        sink = open_sink(run, context(home), None)
        deliver(sink, run, Journal(run).open().rows(ROWS).entries)
        sink.close()
        folders.append(find_folder(home / "tensorboard", run_info(run_id=run_id, name=run_id)))
    assert folders == [tmp_path / "tb" / "same", tmp_path / "tb" / "same_r2"]


def test_bytes_depend_on_the_journal_alone(tmp_path: Path):
    written = []
    for parts in (1, 2, 5):
        home = tmp_path / f"home{parts}"
        made = journal(names=NAMES, directory=str(tmp_path / f"tb{parts}"), folder="f")
        written.append(contents(project(home, made, parts=parts)))
    assert written[0] == written[1] == written[2]


def test_a_place_that_was_removed_is_no_place(home: Path, tmp_path: Path):
    folder = project(home, journal(directory=str(tmp_path / "tb"), folder="f"))
    (folder / "exptrack.run").unlink()
    assert find_folder(home / "tensorboard", run_info()) is None


@pytest.mark.parametrize("directory", ["relative", 3, "", "/a\0b", ["/x"]])
def test_a_directory_that_is_no_path_is_passed_over(directory: Any, caplog):
    run = run_info(sink_options={"tensorboard": {"directory": directory, "folder": "f"}})
    assert place_of(run) == Place()
    assert "no absolute path" in caplog.text


@pytest.mark.parametrize("options", [None, 3, [], {"folder": 3}, {"folder": ""}])
def test_options_that_are_none_are_passed_over(options: Any):
    assert place_of(run_info(sink_options={"tensorboard": options})).is_usual


@pytest.mark.parametrize("folder", ["../../x", "/etc", "..", "a/b"])
def test_a_folder_leads_nowhere_else(home: Path, tmp_path: Path, folder: str):
    found = project(home, journal(directory=str(tmp_path / "tb"), folder=folder))
    assert found.parent == tmp_path / "tb"


def test_two_metrics_shown_alike_are_kept_apart(home: Path):
    run = run_info(sink_options={"tensorboard": {"names": {"a": "X", "b": "X"}}})
    made = Journal(run).open().rows([(0, {"a": 1.0, "b": 2.0}), (1, {"a": 1.0, "b": 2.0})])
    assert count_points(project(home, made)) == {"X": 2, "b": 2}
