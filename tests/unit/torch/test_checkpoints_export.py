"""The model of a checkpoint as safetensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints import export_safetensors


def checkpoint(folder: Path, weights: object) -> Path:
    path = folder / "checkpoint_epoch_1_step_2.pt"
    torch.save({"epoch": 1, "step": 2, "loss": 0.5, "model_state_dict": weights}, path)
    return path


def test_ties_views_and_strides_are_written_as_tensors_of_their_own(tmp_path: Path) -> None:
    load_file = pytest.importorskip("safetensors.torch").load_file
    base = torch.randn(4, 6)
    weights = {
        "a": base,
        "tied": base,
        "view": base[1:3],
        "turned": base.t(),
        "one": torch.ones(()),
    }
    path = export_safetensors(checkpoint(tmp_path, weights), tmp_path / "model.safetensors")
    found = load_file(path)
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_exported_is_misuse(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(Misuse, match="there is no checkpoint"):
        export_safetensors(tmp_path / "none.pt", tmp_path / "x")
    with pytest.raises(Misuse, match="holds no tensors"):
        export_safetensors(checkpoint(tmp_path, {}), tmp_path / "x")
