"""Sets by hand: when parts become one, what a manifest may say, how one goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from exptrack_agent.torch.checkpoints import CheckpointDamaged, Checkpoints, files, sets
from exptrack_agent.torch.checkpoints.loading import read_checkpoint
from exptrack_agent.torch.checkpoints.parts import put_together
from exptrack_agent.torch.checkpoints.sets import manifest_name, part_name

SHAPE = [3, 2]
WHOLE = torch.arange(6.0).reshape(3, 2)


def state(rank: int, save: str) -> dict[str, Any]:
    """Of two ranks the first has two rows, the second one."""
    offset, rows = ([0, 0], WHOLE[:2]) if rank == 0 else ([2, 0], WHOLE[2:])
    spread = [[["model_state_dict", "weight"], ["S0"], SHAPE, offset]]
    return {
        "epoch": 0,
        "step": 5,
        "model_state_dict": {"weight": rows.clone(), "own": torch.tensor(float(rank))},
        "part": {"rank": rank, "world_size": 2, "save": save, "spread": spread},
    }


def put(folder: Path, rank: int, save: str = "a-0", time_ns: int = 10) -> Any:
    """Write one part, and a manifest if it is the last one."""
    path = folder / part_name(0, 5, save, rank, 2)
    about = {"time_ns": time_ns, "metrics": {"loss": 1.0}}
    files.write_checkpoint(path, lambda file: torch.save(state(rank, save), file), about)
    return sets.finish(path, {"epoch": 0, "step": 5, "save": save, "world_size": 2}, about)


def test_the_last_part_makes_the_set(tmp_path: Path):
    assert put(tmp_path, 1) is None
    assert sets.listed(tmp_path) == []
    made = put(tmp_path, 0)
    assert sets.listed(tmp_path) == [made]
    assert (made.epoch, made.step, made.time_ns, made.metrics) == (0, 5, 10, {"loss": 1.0})
    assert made.size_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.pt"))
    assert sets.check(made.path) == files.digest_of(made.path)
    found = read_checkpoint(made.path)
    assert torch.equal(found["model_state_dict"]["weight"], WHOLE)
    assert found["model_state_dict"]["own"] == 0
    assert "part" not in found


def test_parts_of_two_attempts_at_one_step_are_not_mixed(tmp_path: Path):
    assert put(tmp_path, 0, "a-0", 1) is None
    assert put(tmp_path, 1, "b-0", 2) is None
    assert put(tmp_path, 0, "b-0", 3) is not None
    assert not list(tmp_path.glob("*.a-0.*"))  # that save was never finished, and is older
    assert put(tmp_path, 1, "a-0", 4) is None


def test_of_a_set_the_manifest_goes_first(tmp_path: Path):
    put(tmp_path, 0)
    made = put(tmp_path, 1)
    sets.remove(made.path)
    assert list(tmp_path.glob("checkpoint_*")) == []
    sets.remove(made.path)


def test_a_set_without_one_of_its_parts_is_damaged_and_the_older_one_is_taken(tmp_path: Path):
    put(tmp_path, 0)
    made = put(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load()["step"] == 5
    (tmp_path / part_name(0, 5, "a-0", 1, 2)).unlink()
    with pytest.raises(CheckpointDamaged, match="cannot be read: No such file"):
        checkpoints.verify(made.path)
    with pytest.raises(CheckpointDamaged, match="no checkpoint is whole"):
        checkpoints.load()
    checkpoints.close()


GOOD = {
    "format": 1,
    "time_ns": 1,
    "world_size": 1,
    "metrics": {},
    "parts": [{"name": part_name(0, 5, "a-0", 0, 1), "sha256": "0" * 64, "size_bytes": 1}],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "is of format 2, newest known is 1"),
        ({"world_size": 2}, "no manifest"),
        ({"world_size": 0, "parts": []}, "no manifest"),
        ({"time_ns": "x"}, "no manifest"),
        ({"metrics": 3}, "no manifest"),
        ({"parts": [{**GOOD["parts"][0], "name": "../../etc/passwd"}]}, "no manifest"),
        ({"parts": [3]}, "no manifest"),
    ],
    ids=range(7),
)
def test_a_manifest_that_says_something_else_is_damaged(tmp_path: Path, change: Any, said: str):
    path = tmp_path / manifest_name(0, 5)
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(CheckpointDamaged, match=said):
        sets.read_manifest(path)
    assert [one.step for one in sets.listed(tmp_path)] == [5]  # it is there, and looked into later
    sets.remove(path)
    assert not path.exists()


def test_what_is_no_json_is_no_manifest(tmp_path: Path):
    path = tmp_path / manifest_name(0, 5)
    path.write_bytes(b"\xff{")
    with pytest.raises(CheckpointDamaged, match="no manifest"):
        sets.read_manifest(path)


def test_parts_that_are_read_are_put_where_they_belong():
    found = put_together([state(1, "a-0"), state(0, "a-0")])
    assert torch.equal(found["model_state_dict"]["weight"], WHOLE)
    assert found["model_state_dict"]["own"] == 1
