from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_daemon.store.reader import open_home
from tests.support.homes import HomeBuilder


def test_a_home_s_metrics_series_cells_and_media(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path)
    run = home.run()
    trainer = run.stream()
    for step in range(10):
        trainer.log({"loss": 1.0 / (step + 1), "note": "text", "flag": step % 2 == 0}, step=step)
    other = run.stream(rank=1)
    other.log({"loss": 5}, step=0)
    sampler = run.stream(role="sampler")
    sampler.log({"system/cpu": 0.5}, step=0)
    run.close()
    reader = open_home(tmp_path)
    metrics = {metric.name: metric for metric in reader.metrics(run.run_id)}
    assert list(metrics) == ["flag", "loss", "system/cpu"]
    assert (metrics["loss"].points, metrics["loss"].ranks) == (11, (0, 1))
    assert (metrics["loss"].first_step, metrics["loss"].last_step) == (0, 9)
    assert metrics["system/cpu"].is_system
    found = reader.series(run.run_id, ["loss", "flag", "absent"])
    assert found["loss"].values.tolist() == [1.0 / (step + 1) for step in range(10)]
    assert found["flag"].values.tolist() == [1.0, 0.0] * 5
    assert len(found["absent"]) == 0
    assert reader.series(run.run_id, ["loss"], rank=1)["loss"].values.tolist() == [5.0]
    assert len(reader.series(run.run_id, ["system/cpu"], system=True)["system/cpu"]) == 1
    cells = reader.cells(run.run_id, ["loss"], width=4, lo=0, hi=9)["loss"]
    assert cells.count.tolist() == [4, 4, 2]
    assert cells.max.tolist() == [1.0, pytest.approx(0.2), pytest.approx(1 / 9)]
