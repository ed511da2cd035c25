from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.store.live import LiveTail, TailTooLong
from exptrack_daemon.store.manifest import Manifest
from tests.support.homes import HomeBuilder


def tail_of(home: Path, chunk_points: int = 4) -> LiveTail:
    return LiveTail(OsFiles(), Home(home), "r", Manifest(), chunk_points)


def test_only_what_is_new_is_taken_and_all_is_there(tmp_path: Path) -> None:
    run = HomeBuilder(tmp_path).run("r")
    trainer = run.stream()
    tail = tail_of(tmp_path)
    for step in range(10):
        trainer.log({"a": float(step)}, step)
        tail.refresh()
        assert len(tail) == step + 1
    position = tail.position
    tail.refresh()
    assert tail.position == position
    assert [len(part) for part in tail.parts()] == [4, 4, 2]
    run.close()


def test_what_stands_in_parts_is_let_go_of_at_borders_only(tmp_path: Path) -> None:
    run = HomeBuilder(tmp_path).run("r")
    trainer = run.stream()
    for step in range(10):
        trainer.log({"a": float(step)}, step)
    tail = tail_of(tmp_path)
    tail.refresh()
    assert tail.drop_before(4)
    assert (len(tail), [len(part) for part in tail.parts()]) == (6, [4, 2])
    assert not tail.drop_before(7)
    assert not tail.drop_before(0)
    assert tail.drop_before(8)
    run.close()


def test_a_tail_that_is_too_long_says_so(tmp_path: Path) -> None:
    run = HomeBuilder(tmp_path).run("r")
    run.stream().log({"a": 1.0, "b": 2.0, "c": 3.0})
    with pytest.raises(TailTooLong):
        tail_of(tmp_path).refresh(2)
    run.close()
