from __future__ import annotations

import json
from pathlib import Path

from exptrack_daemon.home import Home
from exptrack_daemon.store.reader import open_home
from exptrack_daemon.store.verify import verify_run
from tests.support.homes import HomeBuilder
from tests.support.stores import deliver, part_files


def problems(home: Path) -> list[str]:
    return verify_run(open_home(home), "r").problems


def make(home: Path, rows: int = 20) -> None:
    run = HomeBuilder(home).run("r")
    trainer, sampler = run.stream(), run.stream(role="sampler")
    for step in range(rows):
        trainer.log({"loss": 1.0 / (step + 1), "note": None}, step)
        sampler.log({"cpu": 0.5}, step)
    deliver(home, "r")
    trainer.log({"loss": 0.0}, rows)
    run.close()


def test_parts_that_hold_what_the_journal_says_are_no_problem(tmp_path: Path) -> None:
    make(tmp_path)
    assert len(part_files(tmp_path, "r")) > 2
    assert problems(tmp_path) == []


def test_a_part_that_is_damaged_or_missing_is_a_problem(tmp_path: Path) -> None:
    make(tmp_path)
    path = next((Home(tmp_path).run("r") / "series").glob("*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"store: {path.name} cannot be read")
    assert "exptrack replay r --to store" in problem
    path.unlink()
    (problem,) = problems(tmp_path)
    assert "missing" in problem


def test_points_too_few_are_counted(tmp_path: Path) -> None:
    make(tmp_path)
    path = Home(tmp_path).cursor("r", "store")
    cursor = json.loads(path.read_text())
    cursor["state"]["parts"].pop()
    path.write_text(json.dumps(cursor))
    (problem,) = problems(tmp_path)
    assert "it holds" in problem
    cursor["state"]["parts"].pop(0)
    path.write_text(json.dumps(cursor))
    (problem,) = problems(tmp_path)
    assert "are in no part" in problem
