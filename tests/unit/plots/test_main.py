"""`python -m exptrack_daemon.plots`: a file, its data, or one line that says why not."""

from __future__ import annotations

import json
from pathlib import Path

from exptrack_daemon.plots.__main__ import main
from tests.support.homes import HomeBuilder


def test_a_picture_and_its_data(home: Path, tmp_path: Path, capsys):
    builder = HomeBuilder(home)
    run = builder.run("r")
    stream = run.stream()
    for step in range(30):
        stream.log({"train/loss": float("nan") if step == 3 else 1.0}, step)
    run.close()
    target = tmp_path / "x.png"
    assert main(["latest", "--home", str(home), "-o", str(target), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert data["loss"]["name"] == "train/loss"
    assert data["loss"]["points"] == 30
    assert data["loss"]["nonfinite"] == [[3, "nan"]]
    assert len(data["loss"]["smoothed"]["values"]) == 29
    assert data["accuracy"]["points"] == 0


def test_a_run_that_is_not_there_is_one_line(home: Path, tmp_path: Path, capsys):
    assert main(["nope", "--home", str(home), "-o", str(tmp_path / "x.png")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_not_there_is_one_line(home: Path, tmp_path: Path, capsys):
    HomeBuilder(home).finished_run("r")
    assert main(["r", "--home", str(home), "-o", str(tmp_path / "no" / "x.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err
