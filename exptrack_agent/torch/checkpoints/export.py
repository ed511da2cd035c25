"""A checkpoint's weights as safetensors: the model alone, for those who serve it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints.loading import read_checkpoint


def export_safetensors(checkpoint: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write the model's tensors of a checkpoint as a safetensors file.

    Tensors that share memory are written once each, since the format has no ties; `model.load_state_dict`
    puts them back.

    Raises:
        Misuse: there is no such checkpoint, it holds no tensors, or safetensors is not installed.
        CheckpointDamaged: the checkpoint is not whole.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise Misuse("safetensors is not installed: pip install 'exptrack[torch]'") from error
    source, target = Path(checkpoint), Path(path).expanduser().absolute()
    if not source.exists():
        raise Misuse(f"there is no checkpoint {source}")
    state = read_checkpoint(source)
    tensors = {name: _separate(value) for name, value in _weights(state, source).items()}
    about: dict[str, str] = {n: str(state[n]) for n in ("epoch", "step", "loss") if n in state}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".safetensors-") as folder:
        temporary = Path(folder) / target.name
        save_file(tensors, temporary, metadata={"format": "pt", **about})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    return target


def _weights(state: dict[str, Any], source: Path) -> dict[str, Any]:
    weights = state.get("model_state_dict") or {}
    tensors = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise Misuse(f"{source} holds no tensors of a model")
    return tensors


def _separate(tensor: Any) -> Any:
    dense = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    return dense.clone(memory_format=torch.contiguous_format)
