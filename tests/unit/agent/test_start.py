"""`init`: arguments, environment, identities, and where the box stands when a place cannot be used."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import exptrack_agent as xt
from exptrack_agent import start
from exptrack_agent.settings import ring_root
from exptrack_proto.limits import MAX_FRAME_BYTES
from exptrack_proto.records import Open
from tests.unit.agent.boxes import stored


@pytest.fixture(autouse=True)
def _all_finished(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EXPTRACK_HOME", str(home))
    yield
    for run in list(start._live):
        run.finish()
    for other in (tmp_path / "not" / "yet", tmp_path / "file" / "home"):
        shutil.rmtree(ring_root(other), ignore_errors=True)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="exptrack")
    return caplog


def begin(**options: object) -> xt.Run:
    return xt.init("project", **{"mode": "offline", "autostart": False, **options})


def opened(run: xt.Run) -> Open:
    """The `open` in the run's box."""
    return stored(run._box._places.ring or run._box._places.spool)[0].item


def test_what_was_said_at_the_start_travels_first():
    run = begin(
        name="a name",
        config={"lr": 0.1, "model": {"layers": 3}},
        group="g",
        job_type="train",
        tags=["a", "b"],
        notes="some",
        sinks="tensorboard",
        sink_options={"wandb": {"entity": "me"}},
    )
    item = opened(run)
    assert (item.project, item.name, item.group, item.job_type) == (
        "project",
        "a name",
        "g",
        "train",
    )
    assert (item.tags, item.notes, item.sinks) == (["a", "b"], "some", ["tensorboard"])
    assert json.loads(item.config) == {"lr": 0.1, "model": {"layers": 3}}
    assert json.loads(item.sink_options) == {"wandb": {"entity": "me"}}
    assert (item.pid, item.rank, item.world_size, item.resumed) == (os.getpid(), 0, 1, False)


def test_a_name_and_an_id_are_made_up():
    one, two = begin(), begin()
    assert one.id != two.id
    assert one.name.endswith(one.id[:4])


@pytest.mark.parametrize(
    "options",
    [
        {"name": 5, "tags": [1, 2], "group": 3},
        {"name": "", "tags": (), "notes": ""},
        {"name": "\ud800" * 3, "notes": "\ud800", "tags": ["\ud800"]},
        {"name": "../../x", "group": "\x00", "job_type": "a\nb"},
        {"name": "n" * 10_000, "notes": "漢" * 400_000, "tags": ["漢" * 2_000] * 1_000},
        {"sinks": [f"sink{number}" for number in range(100)]},
        {"config": {"x": "漢" * 2_000_000}, "notes": "漢" * 400_000, "tags": ["漢" * 1_000] * 300},
        {"sink_options": {"wandb": {"x": "y" * 2_000_000}}},
        {"notes": None, "tags": None, "sink_options": None},
    ],
    ids=range(9),
)
def test_odd_arguments_are_taken_and_the_open_still_fits_into_a_frame(options):
    run = begin(**options)
    assert opened(run).project == "project"
    assert max(span.size for span in run._box.spans or run._lane.to_send) < MAX_FRAME_BYTES - 200


@pytest.mark.parametrize(
    "options",
    [
        {"config": 5},
        {"config": "lr=1"},
        {"tags": 5},
        {"sinks": 5},
        {"sink_options": [1]},
        {"run_id": "../x"},
        {"run_id": "a" * 65},
        {"run_id": 5},
        {"run_id": "ü"},
        {"run_id": "a\n"},
        {"mode": "on"},
        {"resume": "maybe"},
        {"home": 5},
    ],
    ids=range(13),
)
def test_arguments_without_meaning_are_a_misuse_and_leave_nothing_behind(options, home):
    with pytest.raises(xt.Misuse):
        begin(**options)
    assert list(home.iterdir()) == []
    assert not ring_root(home).exists()


def test_a_config_may_be_anything_with_attributes():
    @dataclasses.dataclass(slots=True)
    class Config:
        lr: float = 0.1

    for config in (argparse.Namespace(lr=0.1), Config(), {"lr": 0.1}):
        assert dict(begin(config=config).config) == {"lr": 0.1}


def test_the_environment_chooses_the_mode(monkeypatch):
    monkeypatch.setenv("EXPTRACK_MODE", "disabled")
    run = xt.init()
    assert run.mode == "disabled"
    monkeypatch.setenv("EXPTRACK_MODE", "nonsense")
    with pytest.raises(xt.Misuse):
        xt.init()


def test_disabled_touches_nothing_and_takes_everything(home):
    threads = threading.active_count()
    run = xt.init(mode="disabled", config={"lr": 1})
    run.log({"a": 1, "b": object()})
    run.log(None)
    run.summary["x"] = 1
    run.config["y"] = 2
    run.alert("a")
    assert run.flush() is False
    assert run.stats()["rows"] == 0
    run.finish()
    assert list(home.iterdir()) == []
    assert threading.active_count() == threads


def test_run_ids_and_resume(home, monkeypatch):
    (home / "runs" / "old").mkdir(parents=True)
    with pytest.raises(xt.Misuse, match="exists"):
        begin(run_id="old")
    with pytest.raises(xt.RunNotFound):
        begin(run_id="new", resume="must")
    assert opened(begin(run_id="old", resume="must")).resumed
    assert opened(begin(run_id="old", resume="allow")).resumed
    assert not opened(begin(run_id="fresh", resume="allow")).resumed
    monkeypatch.setenv("EXPTRACK_RUN_ID", "old")
    assert begin().id == "old"
    monkeypatch.setenv("EXPTRACK_RUN_ID", "../bad")
    with pytest.raises(xt.Misuse):
        begin()


def test_the_same_run_twice_in_one_process_has_to_be_asked_for():
    first = begin(run_id="twice")
    with pytest.raises(xt.Misuse, match="open in this process"):
        begin(run_id="twice")
    begin(run_id="twice", resume="allow")
    streams = {run._box.stream for run in start._live if run.id == "twice"}
    assert len(streams) == 2
    first.finish()


def test_two_runs_may_have_one_name():
    assert begin(name="same").id != begin(name="same").id


def test_ranks_come_from_the_environment_and_only_the_first_resumes(home, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("EXPTRACK_RUN_ID", "job")
    (home / "runs" / "job").mkdir(parents=True)
    item = opened(begin())
    assert (item.rank, item.world_size, item.resumed) == (1, 4, False)


# --- places ---------------------------------------------------------------------------------------


def test_a_new_home_is_private(tmp_path):
    home = tmp_path / "not" / "yet"
    run = begin(home=home)
    for folder in (home, home / "spool", ring_root(home), ring_root(home).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    run.finish()


def test_without_shared_memory_the_box_is_in_the_home_and_it_is_said_once(monkeypatch, said, home):
    def refuses(folder: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(start, "_private", refuses)
    for _ in range(2):
        run = begin()
        run.log({"a": 1})
        assert run._box._places.ring.parent == home / "rings"
    assert len(said.messages) == 1
    assert "/dev/shm" in said.text


def test_full_shared_memory_is_left_empty_and_the_home_is_used(monkeypatch, said, home):
    real = os.posix_fallocate

    def full(descriptor: int, offset: int, size: int) -> None:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/dev/shm"):
            raise OSError(28, "No space left on device")
        real(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    run = begin()
    run.log({"a": 1})
    assert run._box._places.ring.parent == home / "rings"
    assert list(ring_root(home).iterdir()) == []
    assert "No space left" in said.text
    assert len(stored(run._box._places.ring)) == 2


def test_a_home_that_cannot_be_written_is_said_and_rows_stay_in_shared_memory(tmp_path, said):
    (tmp_path / "file").write_text("no folder")
    run = begin(home=tmp_path / "file" / "home", mode="online")
    run.log({"a": 1})
    assert run._box._places.spool is None
    assert len(stored(run._box._places.ring)) == 2
    assert len(said.messages) == 1
    assert "cannot be written" in said.text
    ring = run._box._places.ring
    run.finish()
    assert len(stored(ring)) == 3  # kept for whoever recovers it
    shutil.rmtree(ring.parent)


def test_nowhere_to_write_at_all_still_trains(tmp_path, monkeypatch, said):
    def refuses(folder: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(start, "_private", refuses)
    (tmp_path / "file").write_text("no folder")
    run = begin(home=tmp_path / "file" / "home")
    for step in range(1_000):
        run.log({"a": step})
    run.finish()
    assert run.rows == 1_000
    assert "are lost with this process" in said.messages[-1]


def test_somebody_elses_folder_in_shared_memory_is_not_used(tmp_path):
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").touch(mode=0o600)
    for name in ("open", "link", "file"):
        with pytest.raises(OSError, match=r"not private|exists"):
            start._private(tmp_path / name)


def test_no_thread_to_be_had_keeps_the_rows(monkeypatch, said):
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    run = begin(mode="online")
    run.log({"a": 1})
    spool = run._box._places.spool
    run.finish()
    assert "can't start new thread" in said.text
    assert len(stored(spool)) == 3


def test_a_run_that_nobody_holds_is_finished_at_exit():
    begin(run_id="dropped")
    (run,) = [run for run in start._live if run.id == "dropped"]
    start._at_exit()
    assert run.is_finished
