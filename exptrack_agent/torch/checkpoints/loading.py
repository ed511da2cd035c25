"""Reading a checkpoint back: whole or not at all, and without running anything that stands in it."""

from __future__ import annotations

import pickle  # noqa: TID251  # its exception only; nothing is unpickled without weights_only
from pathlib import Path
from typing import Any

import torch

from exptrack_agent.torch.checkpoints.files import CheckpointDamaged, check

_NEEDED = ("epoch", "step", "model_state_dict")
_REASONS = (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        CheckpointDamaged: it is not whole, no checkpoint, or would run code; nothing of it was run.
        FileNotFoundError: it is not there.
    """
    check(path)
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
