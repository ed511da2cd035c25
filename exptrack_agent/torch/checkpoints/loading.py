"""Reading a checkpoint back: whole or not at all, and without running anything that stands in it."""

from __future__ import annotations

import pickle  # noqa: TID251  # its exception only; nothing is unpickled without weights_only
from pathlib import Path
from typing import Any

import torch

from exptrack_agent.torch.checkpoints import sets
from exptrack_agent.torch.checkpoints.files import CheckpointDamaged, check
from exptrack_agent.torch.checkpoints.parts import put_together

_NEEDED = ("epoch", "step", "model_state_dict")
_REASONS = (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint; of a set, that of all ranks put together.

    Raises:
        CheckpointDamaged: it is not whole, no checkpoint, or would run code; nothing of it was run.
        FileNotFoundError: it is not there.
    """
    if sets.is_manifest(path):
        manifest = sets.read_manifest(path)
        ranks = range(manifest["world_size"])
        places = [sets.check_part(path, manifest, rank) for rank in ranks]
        return put_together([read_part(place, map_location) for place in places])
    check(path)
    return _opened(path, map_location)


def read_part(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """One rank's part of a set, whose digest was compared already.

    Raises:
        CheckpointDamaged: it is no part, or would run code; nothing of it was run.
    """
    state = _opened(path, map_location)
    if not isinstance(state.get("part"), dict):
        raise CheckpointDamaged(f"{path} is no part of a checkpoint")
    return state


def _opened(path: Path, map_location: Any) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise CheckpointDamaged(
            f"{path} holds more than tensors and plain values, and was not opened: {reason}"
        ) from error
    except _REASONS as error:
        raise CheckpointDamaged(f"{path} is no checkpoint: {error!s:.200}") from error
    if not isinstance(state, dict) or any(name not in state for name in _NEEDED):
        raise CheckpointDamaged(f"{path} is no checkpoint: it lacks {', '.join(_NEEDED)}")
    return state
