"""Checkpoints as files: written whole or not at all, found, checked, and never run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from exptrack_agent.torch.checkpoints import files
from exptrack_agent.torch.checkpoints.files import CheckpointDamaged
from exptrack_agent.torch.checkpoints.loading import read_checkpoint
from tests.unit.torch.checkpoints_by_hand import names_in

STATE = {"epoch": 0, "step": 1, "model_state_dict": {"w": torch.arange(1000.0)}, "loss": None}
ABOUT = {"time_ns": 5, "metrics": {"loss": 0.5}}


def written(folder: Path, step: int = 1, **about: Any) -> Path:
    path = folder / files.file_name(0, step)
    save = {**STATE, "step": step}
    files.write_checkpoint(path, lambda file: torch.save(save, file), {**ABOUT, **about})
    return path


def test_the_digest_beside_a_file_is_what_sha256sum_makes_of_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == files.check(path)
    checked = subprocess.run(
        ["sha256sum", "--strict", "-c", f"{path.name}.sha256"], cwd=tmp_path, check=False
    )
    assert checked.returncode == 0
    assert names_in(tmp_path) == [path.name, f"{path.name}.sha256"]


def test_a_list_shows_the_newest_first_with_step_and_metrics(tmp_path: Path) -> None:
    for step, time_ns in ((7, 3), (8, 1), (9, 2)):
        written(tmp_path, step, time_ns=time_ns)
    (tmp_path / "checkpoint_epoch_1.pt").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")

    found = files.listed(tmp_path)

    assert [one.step for one in found] == [7, 9, 8]
    assert found[0].metrics == {"loss": 0.5}
    assert files.listed(tmp_path / "missing") == []


def test_a_file_replaced_by_one_of_the_same_name_is_whole_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    before = files.check(path)
    replace = Path.replace
    seen = []

    def replace_and_look(self: Path, target: Path) -> Path:
        seen.append(files.check(path))
        moved = replace(self, target)
        seen.append(files.check(path))
        return moved

    monkeypatch.setattr(Path, "replace", replace_and_look)
    files.write_checkpoint(path, lambda file: torch.save({**STATE, "loss": 3}, file), ABOUT)

    assert len(seen) == 6
    assert seen[0] == before
    assert seen[-1] != before


def test_a_plain_file_of_the_same_name_is_whole_until_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / files.file_name(0, 1)
    torch.save(STATE, path)
    replace = Path.replace

    def fail_for_checkpoints(self: Path, target: Path) -> Path:
        if target == path:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_checkpoints)
    with pytest.raises(OSError, match="No space"):
        files.write_checkpoint(path, lambda file: torch.save({**STATE, "loss": 3}, file), ABOUT)

    assert read_checkpoint(path)["loss"] is None
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    def fail(file: Any) -> None:
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_checkpoint(tmp_path / files.file_name(0, 1), fail, ABOUT)
    assert names_in(tmp_path) == []


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead = tmp_path / f".checkpoint_epoch_0_step_1.pt.{gone.pid}.tmp"
    alive = tmp_path / f".checkpoint_epoch_0_step_2.pt.{os.getpid()}.tmp"
    for path in (dead, alive):
        path.write_bytes(b"x")
    files.remove_leftovers(tmp_path)
    assert names_in(tmp_path) == [alive.name]


# --- damage -----------------------------------------------------------------------------------------


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


DAMAGES: list[Callable[[Path], None]] = [_cut, _empty, _flip, _grow]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_said_to_be_damaged(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = written(tmp_path)
    damage(path)
    with pytest.raises(CheckpointDamaged, match="not the file that was written"):
        read_checkpoint(path)


@pytest.mark.parametrize("damage", [_cut, _empty, _flip])
def test_damage_is_found_without_a_digest_too(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = written(tmp_path)
    files.digest_file_of(path).unlink()
    assert read_checkpoint(path)["step"] == 1
    damage(path)
    with pytest.raises(CheckpointDamaged, match=r"no whole checkpoint|does not have its sum"):
        read_checkpoint(path)


def test_every_byte_of_a_checkpoint_is_covered_by_its_digest(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    for place in range(0, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 0x40
        path.write_bytes(changed)
        with pytest.raises(CheckpointDamaged):
            files.check(path)


def test_a_digest_file_without_a_digest_is_no_proof(tmp_path: Path) -> None:
    path = written(tmp_path)
    files.digest_file_of(path).write_text("nothing\n")
    with pytest.raises(CheckpointDamaged, match="holds no digest"):
        files.check(path)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("with_digest", [True, False])
def test_code_in_a_file_is_a_clear_error_and_does_not_run(
    tmp_path: Path, with_digest: bool
) -> None:
    path, mark = tmp_path / files.file_name(0, 1), tmp_path / "ran"
    torch.save({**STATE, "extra": Evil(mark)}, path)
    if with_digest:
        digest = files.digest_of(path)
        files.digest_file_of(path).write_text(f"{digest}  {path.name}\n")

    with pytest.raises(CheckpointDamaged, match="more than tensors and plain values"):
        read_checkpoint(path)

    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, torch.zeros(3)])
def test_a_torch_file_that_is_no_checkpoint_is_said_to_be_none(
    tmp_path: Path, content: Any
) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointDamaged, match="is no checkpoint"):
        read_checkpoint(path)


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="cannot be read"):
        read_checkpoint(tmp_path)
